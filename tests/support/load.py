"""Clients that ask a served model all the time, and what they see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from tests.support.models import WIDTH
from tests.support.threads import working
from tests.support.waiting import until
from tests.support.workspaces import running
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.context import Context
from tritonpm.operations.server import connect
from tritonpm.triton.client import Client

PAUSE = 0.01  # seconds from an answer to the next question: hundreds a second, and the machine is there for others
ONES = {"x": np.ones((1, WIDTH), np.float32)}


class Load:
    """Closed-loop clients on one model: what they were answered, and what failed."""

    def __init__(self, clients: int) -> None:
        self.answers: list[float] = []
        self.failures: list[str] = []
        self.asked = [0] * clients  # how often each of them has been answered, well or not

    def everybody_again(self) -> None:
        """Wait until every client was answered a question that it asks from now on."""
        before = list(self.asked)
        until(lambda: all(now > then + 1 for now, then in zip(self.asked, before, strict=True)), every=0.01)


@contextmanager
def under_load(context: Context, model: str, clients: int = 4) -> Iterator[Load]:
    seen, stop = Load(clients), threading.Event()

    def work(number: int) -> None:
        with Client(running(context).grpc, protocol="grpc") as client:
            while not stop.wait(PAUSE):
                try:
                    seen.answers.append(float(next(iter(client.infer(model, ONES).values()))[0, 0]))
                except TritonpmError as error:
                    seen.failures.append(str(error))
                seen.asked[number] += 1

    with working([partial(work, number) for number in range(clients)], stop):
        yield seen


def serving_answer(context: Context, model: str) -> float:
    with connect(context) as client:
        return float(client.infer(model, ONES)["y"][0, 0])

"""A closed loop of our own: clients with one request in flight each, for windows too short for perf_analyzer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tritonpm.core.errors import ServerError, TritonpmError

if TYPE_CHECKING:
    from tritonpm.core.tensors import Array
    from tritonpm.triton.client import Client


def throughput(client: Client, model: str, inputs: Mapping[str, Array], in_flight: int, seconds: float) -> float:
    """Requests/s with so many in flight for so long. Raises ServerError where one of them fails."""
    done: list[int] = []
    failures: list[TritonpmError] = []
    start = time.perf_counter()
    end = start + seconds

    def work() -> None:
        count = 0
        try:
            while time.perf_counter() < end:
                client.infer(model, inputs)
                count += 1
        except TritonpmError as error:
            failures.append(error)
        done.append(count)

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ServerError(f"a request failed under load: {failures[0]}", where=model)
    return sum(done) / (time.perf_counter() - start)

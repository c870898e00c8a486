"""Stubs that end are replaced: Triton serves on with a dead one, and every request to it fails.

The model is loaded anew beside what is left of it at once, whatever else is being done in the workspace: that is no
change. Then, when it is our turn, what it serves is made to agree with what was proved.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.server import connect
from tritonpm.operations.stubs import bereft, date_anew
from tritonpm.operations.sync import sync
from tritonpm.triton import embedded, liveness
from tritonpm.triton.ensembles import NEXT, joined_by
from tritonpm.triton.processes import stubs

if TYPE_CHECKING:
    from pathlib import Path

    from tritonpm.triton.client import Client

# Seconds between two looks: at the stubs that were seen, for new ones, and at what the server says of all.
_LOOK_EVERY, _LIST_EVERY, _LOOK_AT_ALL_EVERY = 0.1, 0.2, 2.0
# Seconds before a model that lost a stub for the third time in a row is loaded again, doubled each time.
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_STEADY = 30.0  # seconds after which a loss has nothing to do with the one before
_AT_ONCE = 4  # models that are loaded at the same time


@dataclass
class _Loss:
    """What happened to a model that lost a stub."""

    why: str = "a stub of it has ended"
    times: int = 0
    last: float = 0.0
    work: Future[str] | None = field(default=None, repr=False)

    def pause(self) -> float:
        return min(_LONGEST_PAUSE, _PAUSE * (2.0 ** max(0, self.times - 1) - 1))


@contextmanager
def stubs_replaced(context: Context, server: embedded.Server, say: Callable[[str], None]) -> Iterator[None]:
    """For as long as the block lasts, in a thread of its own: what else is waited for must not delay it."""
    done = Event()

    def watch() -> None:
        with suppress(TritonpmError), open_context(context.workspace.root) as own, closing(Stubs(own, server)) as stubs:
            while not done.wait(_LOOK_EVERY) and server.alive:
                for sentence in stubs.look():
                    say(sentence)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


class Stubs:
    """Watches the stubs of one server; time is counted by a clock that no one can set."""

    def __init__(self, context: Context, server: embedded.Server) -> None:
        self.context, self.server = context, server
        self._known: dict[int, str] = {}
        self._listed, self._looked, self._bereft = 0.0, 0.0, set[str]()
        self._losses: dict[str, _Loss] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="revive")

    def close(self) -> None:
        """Begin nothing more; what is under way ends with the server, or with its time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> Iterator[str]:
        """Have models that lost a stub loaded anew; what came of it. To be called again and again."""
        yield from self._done()
        ended = {pid: why for pid in self._known if (why := liveness.why_not_running(pid))}
        for pid, why in ended.items():
            self._losses.setdefault(self._known[pid], _Loss()).why = why
            with suppress(OSError):  # one that is stopped would hold what it was asked, and its memory
                os.kill(pid, signal.SIGKILL)
        lacking = {self._known.pop(pid) for pid in ended}
        now = time.monotonic()
        if now - self._listed > _LIST_EVERY:
            self._known, self._listed = stubs(self.server, self._known), now
        if not lacking and not self._bereft and now - self._looked < _LOOK_AT_ALL_EVERY:
            return
        with suppress(TritonpmError):
            before, self._looked = self._bereft, now
            with connect(self.context) as client:
                self._bereft = bereft(self.context, client)
            for model in sorted(self._bereft & {*before, *lacking}):  # else it may just be being replaced
                yield from self._begin(model, now)

    def _begin(self, model: str, now: float) -> Iterator[str]:
        loss = self._losses.setdefault(model, _Loss())
        if loss.work or model.endswith(NEXT):  # a rehearsal that lost one fails
            return
        if now - loss.last > _STEADY + loss.pause():
            loss.times = 0
        if now - loss.last < loss.pause():
            _note(self.context, model, loss.why)  # it may take long, and who asks is to know why
            return
        loss.times += 1
        yield f"{model} no longer answers: {loss.why}; it is being reloaded"
        loss.work = self._pool.submit(_revived, self.context.workspace.root, model, loss.why)

    def _done(self) -> Iterator[str]:
        for model, loss in self._losses.items():
            if loss.work and loss.work.done():
                reason = loss.work.result()
                loss.work, loss.last = None, time.monotonic()
                yield f"{model} could not be reloaded: {reason}" if reason else f"Reloaded {model}"


def _revived(root: Path, model: str, why: str) -> str:
    """Why it could not be; in a thread of its own."""
    with open_context(root) as context:
        try:
            with connect(context) as client:
                _load_anew(context, client, model)
            reasons = [reason for *_, reason in sync(context, _owners(context, model)) if reason]
        except TritonpmError as error:
            reasons = [str(error)]
        if reasons:
            _note(context, model, f"{why}; {reasons[0]}")
        return "".join(reasons[:1])


def _load_anew(context: Context, client: Client, model: str) -> None:
    if date_anew(context, model):
        client.load_and_wait(model)
        return
    above = joined_by(client, model)  # of another repository, whose folder is not for us to touch
    client.unload_and_wait(model)
    for name in (model, *above):
        client.load_and_wait(name)


def _note(context: Context, model: str, why: str) -> None:
    """What does not answer is not called loaded; it stays wanted."""
    for name in _owners(context, model):
        if context.catalogue.get(name).status == "loaded":
            context.catalogue.set_status(name, "failed", why)


def _owners(context: Context, model: str) -> list[str]:
    return [r.name for r in context.catalogue.published() if any(part.name == model for part in r.models)]

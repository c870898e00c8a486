"""Long work that the page asks for: done by threads of this process, each step told to every open page.

Only what is being done now is here; what it came to is in the catalogue, and conversions are jobs of their own.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tritonpm.core.errors import BusyError, TritonpmError
from tritonpm.core.files import system_error
from tritonpm.operations.context import Progress, Report, Warn
from tritonpm.web.callers import named
from tritonpm.web.events import Hub
from tritonpm.web.language import Language
from tritonpm.web.problems import Problem, plain_problem, problem_of, problem_shown, shown
from tritonpm.web.wording import in_page_words

RUNNING, DONE, FAILED = "running", "done", "failed"
_AT_ONCE = 4
_WAITING = 64
_KEPT = 200  # that have ended
_TELL_EVERY = 0.2  # seconds between two reports of one step
log = logging.getLogger("tritonpm.web")


@dataclass(frozen=True)
class LongTask:
    """What the API calls an operation; `by` is who asked.

    `total` is 0 where it is not known; `result` is a sentence, `notes` warnings.
    """

    id: str
    kind: str
    package: str
    state: str = RUNNING
    step: str = ""
    done: int = 0
    total: int = 0
    result: str = ""
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    started: float = 0.0  # Unix time
    ended: float = 0.0  # 0 while it runs
    by: str = ""


def task_shown(task: LongTask, say: Language) -> LongTask:
    """An operation in a client's language."""
    problem = task.problem and problem_shown(task.problem, say)
    notes = tuple(in_page_words(say.told(note), say) for note in task.notes)
    by = named(task.by, say)
    step = in_page_words(say.told(task.step), say)
    return replace(task, step=step, result=say.told(task.result), notes=notes, problem=problem, by=by)


class LongTasks:
    """What is being done, and what was done last."""

    def __init__(self, hub: Hub, root: Path) -> None:
        self.hub, self.root = hub, root
        self._known: OrderedDict[str, LongTask] = OrderedDict()
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="task")

    def start(self, kind: str, package: str, work: Callable[[Progress, Warn], str], *, by: str = "") -> LongTask:
        """Do `work`, which returns a sentence, in a thread. Raises BusyError where too much waits already."""
        task = LongTask(secrets.token_urlsafe(9), kind, package, started=time.time(), by=by)
        with self._lock:
            if sum(known.state == RUNNING for known in self._known.values()) >= _WAITING:
                raise BusyError("too much is being done at once", do="wait until some of it is done")
        self._tell(task)
        self._workers.submit(self._run, task.id, work)
        return task

    def get(self, number: str) -> LongTask | None:
        """One task; None where it is not known (any more)."""
        with self._lock:
            return self._known.get(number)

    def all(self) -> list[LongTask]:
        """Every task that is known, the newest first."""
        with self._lock:
            return list(reversed(self._known.values()))

    def close(self) -> None:
        """Begin nothing more, and wait for what has begun: every step of it has a deadline."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _run(self, number: str, work: Callable[[Progress, Warn], str]) -> None:
        warned: list[str] = []

        def warn(sentence: str) -> None:
            if sentence.endswith("…"):  # it goes on: a step, and no news once it is over
                self._change(number, step=shown(sentence, self.root))
            else:
                warned.append(sentence)

        try:
            result = work(self._progress(number), warn)
        except TritonpmError as error:
            self._change(number, state=FAILED, problem=problem_of(error, self.root))
        except OSError as error:
            self._change(number, state=FAILED, problem=problem_of(system_error(error), self.root))
        except BaseException:
            log.exception("task %s", number)
            self._change(number, state=FAILED, problem=plain_problem(500, "A bug in tritonpm", "see the page's log"))
            raise
        else:
            notes = tuple(shown(sentence, self.root) for sentence in dict.fromkeys(warned))
            self._change(number, state=DONE, result=shown(result, self.root), notes=notes)

    def _progress(self, number: str) -> Progress:
        @contextmanager
        def step(what: str) -> Iterator[Report]:
            self._change(number, step=shown(what, self.root), done=0, total=0)
            reported = time.monotonic()

            def report(done: int, total: int) -> None:
                nonlocal reported
                if done == total or time.monotonic() - reported >= _TELL_EVERY:
                    reported = time.monotonic()
                    self._change(number, done=done, total=total)

            yield report

        def progress(what: str) -> AbstractContextManager[Report]:
            return step(what)

        return progress

    def _change(self, number: str, **values: object) -> None:
        with self._lock:
            ended = time.time() if values.get("state", RUNNING) != RUNNING else 0.0
            changed = replace(self._known[number], ended=ended, **values)  # type: ignore[arg-type]
        self._tell(changed)

    def _tell(self, task: LongTask) -> None:
        with self._lock:
            self._known[task.id] = task
            ended = [number for number, known in self._known.items() if known.state != RUNNING]
            for number in ended[:-_KEPT]:
                del self._known[number]
        self.hub.publish("operation", partial(task_shown, task))

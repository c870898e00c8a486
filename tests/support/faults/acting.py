"""Operations by name, done here or in a process of its own that dies, or kills the server, at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.support.workspaces import opened
from tritonpm.catalogue.database import Database
from tritonpm.core.errors import TritonpmError
from tritonpm.operations import usage
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.prune import prune
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.rollback import rollback
from tritonpm.operations.server import own_server
from tritonpm.operations.set import change, change_live
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.operations.verify import mend
from tritonpm.triton.client import Client

MOMENT = 0.02  # seconds in which clients are looked for: here are none
LONGEST = 120.0  # seconds for one operation
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__, "onnxruntime", "tritonclient.http", "tritonclient.grpc", "pydantic", "yaml"])


@dataclass(frozen=True)
class Fate:
    """At the `moment`th thing that an operation does to a file, the catalogue or the server, `victim` is killed."""

    victim: str  # manager | server
    moment: int


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: done, refused (by `error`) or killed; `struck`: its fate was met."""

    state: str
    error: str = ""
    sentence: str = ""
    struck: bool = False


def perform(context: Context, what: str, name: str, *told: Any) -> None:
    """One operation on one package. Raises TritonpmError."""
    does: dict[str, Callable[..., object]] = {
        "import": lambda source: import_package(context, Path(source), name=name),
        "set": lambda changes: change(context, name, changes),
        "set live": lambda changes: change_live(context, name, changes),
        "upgrade": lambda source: upgrade(context, name, Path(source)),
        "roll back": lambda: rollback(context, name),
        "load": lambda: load(context, name),
        "unload": lambda force: unload(context, name, force=force),
        "rename": lambda other: rename(context, name, other),
        "remove": lambda: remove(context, name),
        "prune": lambda keep: prune(context, name, keep),
        "mend": lambda: mend(context),
    }
    does[what](*told)


def act(context: Context, fate: Fate | None, what: str, name: str, *told: Any) -> Outcome:
    """An operation with its fate; without one it is done in this process."""
    if fate is None:
        try:
            perform(context, what, name, *told)
        except TritonpmError as error:
            return Outcome("refused", type(error).__name__, str(error))
        return Outcome("done")
    return _elsewhere(context, fate, what, name, *told)


def _elsewhere(context: Context, fate: Fate, what: str, name: str, *told: Any) -> Outcome:
    ours, theirs = _FORKS.Pipe(duplex=False)
    server = own_server(context) if fate.victim == "server" else None
    victim = server.pid if server else None
    arguments = (theirs, context.workspace.root, fate.moment, victim, what, name, *told)
    process = _FORKS.Process(target=_child, args=arguments, daemon=True)
    process.start()
    theirs.close()
    process.join(LONGEST)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"{what} {name} {told} hangs with {fate}")
    with ours, suppress(EOFError):
        outcome: Outcome = ours.recv()
        return outcome
    assert process.exitcode == -signal.SIGKILL, f"{what} {name} {told} ended with {process.exitcode}: a bug"
    return Outcome("killed", struck=True)


def _child(answer: Connection, root: Path, moment: int, victim: int | None, what: str, name: str, *told: Any) -> None:
    usage._MOMENT = MOMENT
    context = opened(root)
    moments = _Moments(root, moment, victim or os.getpid())
    moments.watch()
    try:
        perform(context, what, name, *told)
    except TritonpmError as error:
        outcome = Outcome("refused", type(error).__name__, str(error), moments.left <= 0)
    else:
        outcome = Outcome("done", struck=moments.left <= 0)
    moments.left = 0
    if os.environ.get("TRITONPM_MOMENTS"):
        print(f"{what}: {moments.seen} moments", flush=True)
    answer.send(outcome)


class _Moments:
    """Counts what this process does in a workspace; at the last moment the victim is killed."""

    def __init__(self, root: Path, moment: int, victim: int) -> None:
        self.root, self.left, self.victim, self.seen = str(root), moment, victim, 0

    def reached(self) -> None:
        self.left, self.seen = self.left - 1, self.seen + 1
        if self.left == 0:
            with suppress(ProcessLookupError):
                os.kill(self.victim, signal.SIGKILL)

    def watch(self) -> None:
        """Every call on a file of the workspace, and before and after each statement and each call of the server."""

        def heard(event: str, arguments: tuple[Any, ...]) -> None:
            if arguments and isinstance(arguments[0], (str, Path)) and str(arguments[0]).startswith(self.root):
                self.reached()

        sys.addaudithook(heard)
        self._around(Database, "do")
        self._around(Client, "_call")

    def _around(self, owner: type, method: str) -> None:
        plain = getattr(owner, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.reached()
            try:
                return plain(*arguments, **options)
            finally:
                self.reached()

        setattr(owner, method, counted)

"""A workspace whose server is kept alive by a process of its own, as by `tritonpm serve --detach`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, running
from tritonpm.operations.context import Context
from tritonpm.operations.serve import serve
from tritonpm.operations.server import supervise_detached
from tritonpm.operations.stop import stop
from tritonpm.triton import embedded
from tritonpm.triton.processes import stubs


@contextmanager
def supervised(context: Context) -> Iterator[None]:
    """The server runs, and is supervised; afterwards neither it nor who supervised it is there."""
    serve(context, None, **QUICKLY)
    supervise_detached(context)
    try:
        until(lambda: supervisor(context) and successors(context))
        yield
    finally:
        stop(context, 15)
        until(lambda: not keepers(context), lambda: keepers(context))


def supervisor(context: Context) -> int:
    """The number of the process that keeps the server alive, 0 for none."""
    if not embedded.supervised(context.workspace.server):
        return 0
    return int(json.loads(embedded.supervisor_lock(context.workspace.server).read_bytes())["pid"])


def successors(context: Context) -> list[int]:
    """Who waits to become the supervisor."""
    return [pid for pid, command in keepers(context).items() if any("successor" in part for part in command)]


def keepers(context: Context) -> dict[int, list[str]]:
    """The processes that supervise, or wait to."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if command[-1:] == [str(context.workspace.root)] and any("super" in part for part in command):
                found[process.pid] = command
    return found


def kill_server(context: Context) -> embedded.Server:
    """kill -9 of the server: what it was."""
    server = running(context)
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not server.alive)
    return server


def kill_stub(context: Context, model: str, number: int = signal.SIGKILL) -> None:
    """A signal to one of the processes that answer for a model."""
    pid = next(pid for pid, of in stubs(running(context)).items() if of.partition(".")[0] == model)
    os.kill(pid, number)
    until(lambda: pid not in stubs(running(context)))


def log_of(context: Context) -> str:
    """What the supervisor said."""
    return Path(context.workspace.server, "supervisor.log").read_text()

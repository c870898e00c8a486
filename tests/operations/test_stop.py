"""`stop` says that it has stopped once all of it has."""

from __future__ import annotations

import psutil
import pytest

from tests.support.waiting import until
from tests.support.workspaces import QUICKLY
from tritonpm.operations.context import Context
from tritonpm.operations.serve import serve
from tritonpm.operations.stop import stop
from tritonpm.operations.supervise import supervise_detached
from tritonpm.triton import embedded

pytestmark = pytest.mark.server


def processes_of(context: Context) -> list[str]:
    """The command lines of the processes that have to do with this workspace."""
    root = str(context.workspace.root)
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if root in line]


def test_nothing_of_it_runs_afterwards(context: Context) -> None:
    serve(context, None, **QUICKLY)
    supervise_detached(context)
    state = context.workspace.server
    until(lambda: embedded.supervised(state) and len(processes_of(context)) > 2)
    assert stop(context, 15)
    assert processes_of(context) == []
    assert not stop(context, 15)


def test_who_supervises_in_a_terminal_is_not_waited_for_by_itself(context: Context) -> None:
    context.workspace.server.mkdir(exist_ok=True)
    with embedded.supervising(context.workspace.server):
        assert not stop(context, 15)

"""Which ports the workspace's own server has: Triton's, those that it had, or others, which is said."""

from __future__ import annotations

import socket

import pytest

from tests.support.workspaces import opened, running
from tritonpm.operations.context import Context
from tritonpm.operations.serve import serve
from tritonpm.operations.stop import stop
from tritonpm.triton import embedded

pytestmark = pytest.mark.server


def test_ports_are_kept_and_taken_ones_are_told(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    here = opened(context.workspace.root, warn=told.append)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        monkeypatch.setitem(embedded.PORTS, "http", other.getsockname()[1])
        try:
            serve(here, None, detach=True, timeout=600)
            first = embedded.ports_of(running(here))
            stop(here, 15)
            assert f"Port {embedded.PORTS['http']} (http) is in use; using {first['http']} instead" in told[0]
            told.clear()
            serve(here, None, detach=True, timeout=600)
            assert embedded.ports_of(running(here)) == first
            assert told == []
        finally:
            stop(here, 15)

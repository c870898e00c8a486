"""Servers that start at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tritonpm.triton import embedded


@pytest.mark.server
def test_each_has_ports_of_its_own(tmp_path: Path) -> None:
    def start(name: str) -> embedded.Server:
        (tmp_path / name).mkdir()
        return embedded.start(
            embedded.find(), tmp_path / name, tmp_path / f"{name}-state", detach=True, standard_ports=True
        )

    names = ["one", "two", "three"]
    with ThreadPoolExecutor(len(names)) as pool:
        starting = [pool.submit(start, name) for name in names]
    servers = [future.result() for future in starting]
    try:
        assert all(server.alive for server in servers)
        assert len({address for s in servers for address in (s.http, s.grpc, s.metrics)}) == 9
    finally:
        for name, server in zip(names, servers, strict=True):
            embedded.stop(server, tmp_path / f"{name}-state", timeout=20)

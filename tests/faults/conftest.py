"""Connections that give up soon do so for loads, too."""

from __future__ import annotations

import pytest

from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load over a connection with a short timeout is given up in seconds: a server that is stopped never answers."""
    plain = Client.of

    def of(connection: Connection, *, protocol: str | None = None, load_timeout: float = 600.0) -> Client:
        most = 6 * connection.timeout if connection.timeout < 1 else load_timeout
        return plain(connection, protocol=protocol, load_timeout=min(most, load_timeout))

    monkeypatch.setattr(Client, "of", of)

"""Clients that are silent, slow, or never done: everybody else is served meanwhile, and they end."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from tests.support.models import scaled
from tests.support.page import API, TOKEN, Site, Start, zipped
from tests.support.waiting import until
from tritonpm.operations.init import init
from tritonpm.web import connections, security
from tritonpm.web.connections import MOST
from tritonpm.web.running import Page
from tritonpm.web.security import access

HELD = MOST + 88  # more than there is room for


@contextmanager
def held(url: str, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Connections that say no more than `first`."""
    host, _, port = url.partition("://")[2].rstrip("/").rpartition(":")
    with ExitStack() as open_:
        opened = []
        for _ in range(count):
            opened.append(open_.enter_context(socket.create_connection((host, int(port)), timeout=30)))
            opened[-1].sendall(first)
        yield opened


def ended(connection: socket.socket) -> bool:
    """Whether the page has closed it."""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def asked(site: Site) -> None:
    """Somebody else, on connections of their own, is let in."""
    for _ in range(3):
        with httpx.Client(base_url=site.url, timeout=30, trust_env=False) as other:
            assert other.get(f"{API}/packages", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


HEAD = f"POST {API}/packages/x/load HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SAID = {
    "nothing": "",
    "half a head": "GET / HTTP/1.1\r\nHost: 127",
    "a head without its body": f"{HEAD}Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
    "a body that a GET does not want": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n",
    "no TLS": "\x16\x03",
}


@pytest.mark.parametrize("said", SAID)
def test_who_is_silent_keeps_nobody_out(start: Start, said: str) -> None:
    site = start(access("127.0.0.1", token=TOKEN))
    with held(site.url, HELD, SAID[said].encode()):
        asked(site)


def test_nor_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key = tmp_path / "page.crt", tmp_path / "page.key"
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    init(tmp_path / "w")
    page = Page(tmp_path / "w", None, "127.0.0.1", 0, access("127.0.0.1"), certificate, key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with page.running(), held(page.url, HELD, b""), httpx.Client(verify=trust, timeout=30, trust_env=False) as client:
        assert client.get(f"{page.url}api/v1/packages").status_code == 200


def test_half_a_head_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS", 0.2)
    site = start()
    whole = b"GET /api/v1/packages HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with held(site.url, 2, b"GET / HTTP/1.1\r\nHost: 127") as silent, held(site.url, 1, whole) as second:
        until(lambda: all(map(ended, silent)) or None, "half a head")
        second[0].recv(1 << 16)
        second[0].sendall(b"GET / HT")
        until(lambda: ended(second[0]) or None, "the second request")


@pytest.mark.parametrize("path", ["/packages/x/load", "/packages?filename=x.zip"])
def test_a_body_that_does_not_come_is_told_and_ends(start: Start, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(security, "PATIENCE", 0.2)
    site = start()
    head = (
        f"POST {API}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    )
    with held(site.url, 1, head.encode()) as (connection,):
        assert connection.recv(1 << 16).split()[1] == b"408"
        until(lambda: ended(connection) or None, "the connection")
    assert list(site.root.glob(".tritonpm/staging/*")) == []


def test_slow_uploads_make_room(start: Start, tmp_path: Path) -> None:
    site = start()
    package = zipped(tmp_path / "i", scaled(7.0), "quick")
    head = f"POST {API}/packages?filename=x.zip HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
    with held(site.url, 8, f"{head}PK".encode()):
        until(lambda: len(list(site.root.glob(".tritonpm/staging/upload-*"))) == 8 or None, "the uploads")
        assert site.done(site.upload(package)).startswith("Imported quick")
    until(lambda: not list(site.root.glob(".tritonpm/staging/upload-*")) or None, "the staging folder")


def test_who_reads_nothing_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD", 0.3)
    site = start()
    ask = b"GET /static/htmx.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 400
    with held(site.url, 1, b"") as (connection,):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        sent = connection.send(ask)
        assert sent
        connection.setblocking(True)
        time.sleep(1)
        until(lambda: _broken(connection) or None, "the connection")
    asked_again: Callable[[], Any] = site.http.get("/packages").raise_for_status
    assert asked_again()


def _broken(connection: socket.socket) -> bool:
    try:
        connection.send(b"GET")
    except OSError:
        return True
    return False

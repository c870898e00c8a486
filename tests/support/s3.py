"""A real S3 server, a proxy in front of it that cuts, and what a reader sees in a repository."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import selectors
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tritonpm.repository.immutable import is_config
from tritonpm.repository.location import located
from tritonpm.repository.records import StoredRevision
from tritonpm.repository.store import Store

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "an id", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "bucket"


@dataclass(frozen=True)
class S3:
    """A server with one bucket."""

    port: int

    def url(self, prefix: str, port: int | None = None) -> str:
        return f"s3://http://127.0.0.1:{port or self.port}/{BUCKET}/{prefix}"

    def store(self, prefix: str, port: int | None = None, *, retries: int = 3) -> Store:
        return Store(located(self.url(prefix, port)), retries=retries, patience=timedelta(seconds=20))


@contextmanager
def served() -> Iterator[S3]:
    """moto's server, with the bucket made."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # it tells of every request that we cut
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, partial(_whole_requests, application), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        found = S3(server.server_port)
        put = urllib.request.Request(f"http://127.0.0.1:{found.port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(put, timeout=10).close()
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def known() -> Iterator[S3]:
    """`served`, with what opens it in this process's environment."""
    with pytest.MonkeyPatch.context() as patch, served() as server:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield server


def _whole_requests(application: Any, environ: dict[str, Any], start: Any) -> Any:
    """What S3 does and moto does not: it keeps nothing of a request that was cut, in its headers or in its body."""
    if environ["REQUEST_METHOD"] in ("PUT", "POST") and environ["PATH_INFO"].strip("/") != BUCKET:
        try:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        except (OSError, ValueError):
            body = b""
        if not _is_signed(environ, body):
            start("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])
            return []
        environ = {**environ, "wsgi.input": io.BytesIO(body)}
    return application(environ, start)


def _is_signed(environ: dict[str, Any], body: bytes) -> bool:
    """Whether all that was signed arrived; the signature itself nobody checks here."""
    said = re.search(r"SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{64}$", environ.get("HTTP_AUTHORIZATION", ""))
    headers = {name.removeprefix("HTTP_").replace("_", "-").lower() for name in environ}
    is_whole = hashlib.sha256(body).hexdigest() == environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    return said is not None and set(said[1].split(";")) <= headers and is_whole


class Proxy:
    """Hands bytes to and fro, until `limit` bytes went to the server, or `before` is about to; then it cuts.

    It cuts every connection from then on, or `cuts` of them.
    """

    def __init__(self, port: int, limit: int = 1 << 40, *, before: bytes = b"", cuts: int = 1 << 30) -> None:
        self.target, self.limit, self.before, self.cuts, self.passed = port, limit, before, cuts, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock, self.done = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def _accept(self) -> None:
        self.listener.settimeout(0.05)
        while not self.done.is_set():
            with suppress(OSError):
                client = self.listener.accept()[0]
                self.threads.append(threading.Thread(target=self._carry, args=(client,)))
                self.threads[-1].start()

    def _carry(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self.target)) as server,
            selectors.DefaultSelector() as look,
        ):
            look.register(client, selectors.EVENT_READ, server)
            look.register(server, selectors.EVENT_READ, client)
            with suppress(OSError):
                while not self.done.is_set():
                    for key, _ in look.select(0.05):
                        said = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                        if key.fileobj is client:
                            said, is_cut = self._allowed(said)
                        else:
                            is_cut = False
                        key.data.sendall(said)
                        if is_cut or not said:
                            return

    def _allowed(self, said: bytes) -> tuple[bytes, bool]:
        """What may still go through, and whether the connection is to be cut after it."""
        with self.lock:
            if self.before and self.before in said:
                self.limit = self.passed
            room = self.limit - self.passed
            if len(said) < room or self.cuts == 0:
                self.passed += len(said)
                return said, False
            self.cuts -= 1
            return said[: max(room, 0)], True


@contextmanager
def refusing(code: str, status: int) -> Iterator[int]:
    """A store that answers every request with one error; its port."""

    class Refusal(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"<Error><Code>{code}</Code><StringToSign>a secret</StringToSign></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen(store: Store, *revisions: StoredRevision) -> str:
    """The revision that a reader of the public model finds, all of whose objects are right; "" where it finds none.

    Whatever config of the public model it reads, all that belongs to it must be there.
    """
    name, found = revisions[0].name, ""
    for path in store.listed(name):
        if is_config(path.partition("/")[2]) and b"nothing-is-published-here" not in (store.read(path) or b""):
            digest = store.digest(path)
            whose = [record for record in revisions if (path, digest) in {(f.path, f.digest) for f in record.files}]
            assert any(_whole(store, record) for record in whose), f"{path} is of nothing whole"
            if path == f"{name}/config.pbtxt":
                found = whose[0].revision
    return found


def _whole(store: Store, record: StoredRevision) -> bool:
    """Whether all but the public configs of a revision is there."""
    public = f"{record.name}/"
    files = [f for f in record.files if not (f.path.startswith(public) and is_config(f.path.partition("/")[2]))]
    return all(store.digest(file.path) == file.digest for file in files)

"""Real registries on loopback: Debian's docker-registry, a web server that breaks off, an S3 store."""

from __future__ import annotations

import base64
import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.waiting import PATIENCE, until

LINE = "line:$2b$04$x60NOMsad2Nn4/p8wec2LuLZsg9YVgOAeQg.aM0gj0ax9wO9ea.fW"  # bcrypt of "not-a-secret"


def find_registry() -> str:
    """Debian's registry: where script/test puts it, or installed."""
    beside = Path(sys.executable).with_name("docker-registry")
    found = shutil.which(beside) or shutil.which("docker-registry")
    assert found, "docker-registry is missing: run script/test, or install the Debian package docker-registry"
    return found


@contextmanager
def oci(folder: Path, auth: dict[str, object] | None = None) -> Iterator[str]:
    """A registry of its own; HOST:PORT."""
    folder.mkdir()
    config = {
        "version": 0.1, "log": {"accesslog": {"disabled": True}}, "http": {"addr": "127.0.0.1:0"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
    }  # fmt: skip
    (folder / "config.yml").write_text(yaml.safe_dump(config | ({"auth": auth} if auth else {})))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([find_registry(), "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        yield _listening(process, folder / "log")
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    def told() -> str:
        assert process.poll() is None, log.read_text()
        place = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        return place[1] if place else ""

    return until(told, log.read_text)


@dataclass
class Web:
    """A web server with faults: what it holds, where it leads to, and after how many bytes it breaks off."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    cut: int = 0  # bytes of a body until the connection breaks; 0: never
    ranges: bool = True
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def web(certificate: trustme.LeafCert | None = None) -> Iterator[Web]:
    """A web server, encrypted where it has a certificate."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append((self.path, dict(self.headers)))
            path = self.path.partition("?")[0]
            if path in state.leads:
                self.send_response(302)
                self.send_header("Location", state.leads[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif path in state.files:
                self._file(state.files[path])
            else:
                self.send_error(404)

        def _file(self, whole: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked and state.ranges else 0
            if start >= len(whole):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            self.send_header("Content-Length", str(len(whole) - start))
            self.end_headers()
            body = whole[start:]
            self.wfile.write(body[: state.cut or len(body)])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with _running(server) as place:
        state.url = f"http{'s' if certificate else ''}://{place}"
        yield state


@contextmanager
def tokens(certificate: trustme.LeafCert) -> Iterator[str]:
    """Who hands out tokens for a registry as Docker's token protocol has it, to user line; its address."""
    import jwt
    from cryptography import x509

    key = certificate.private_key_pem.bytes()
    chain = [x509.load_pem_x509_certificate(pem.bytes()) for pem in certificate.cert_chain_pems]
    header = {"x5c": [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            if self.headers.get("Authorization") != f"Basic {base64.b64encode(b'line:not-a-secret').decode()}":
                self.send_error(401)
                return
            kind, name, actions = told["scope"].split(":")
            now = int(time.time())
            claims = {
                "iss": "line", "sub": "line", "aud": told["service"], "iat": now, "nbf": now - 5, "exp": now + 60, "jti": "1",
                "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
            }  # fmt: skip
            body = json.dumps({"token": jwt.encode(claims, key, "RS256", headers=header)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as place:
        yield f"http://{place}/token"


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[str]:
    server.handle_error = lambda *_: None  # type: ignore[method-assign] (a client that hangs up is no news)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

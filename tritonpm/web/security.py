"""Who may ask what: Host, token, origin, rate and size, before anything else sees a request.

On loopback no token is needed, so Host is checked: a name that somebody points at 127.0.0.1 is not ours (rebinding).
Elsewhere a token is a must, as `Authorization: Bearer` or as the password of basic auth, which browsers ask for.
What changes something must come from the page itself, or from a client that is no browser.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tritonpm.core.errors import UsageError
from tritonpm.web.problems import MEDIA_TYPE, Problem, plain_problem

SHORTEST_TOKEN = 16  # characters
SAFE = ("GET", "HEAD", "OPTIONS")
PATIENCE = 20.0  # seconds that a body may take however short it is
SLOWEST = 8 << 10  # bytes a second that it must have on the whole
_MIB = 1 << 20
_UPLOADS = ("/packages", "/upgrade", "/canary/content", "/calibration", "/inspections")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class PageAccess:
    """Who is let in. `hosts` are the names in Host, () is any; sizes in bytes, rates in requests a second."""

    token: str = ""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    upload: int = 16 << 30
    inputs: int = 256 * _MIB  # of one inference
    body: int = _MIB  # of any other request
    changes: float = 20.0
    refusals: float = 1.0  # of wrong tokens
    burst: int = 100

    def limit(self, path: str) -> int:
        """How long the body of a request may be."""
        if path.endswith("/infer"):
            return self.inputs
        return self.upload if path.endswith(_UPLOADS) else self.body


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def access(host: str, *, token: str = "", hosts: tuple[str, ...] = (), upload: int = PageAccess.upload) -> PageAccess:
    """Who is let in at an address. Raises UsageError where it asks for a token and there is none, or a short one."""
    if token and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"the token is shorter than {SHORTEST_TOKEN} characters", do="choose a longer one")
    if is_loopback(host):
        return PageAccess(token, (*PageAccess.hosts, *hosts), upload)
    if not token:
        raise UsageError(
            f"{host} is reached from other machines, which needs a token",
            do="set TRITONPM_UI_TOKEN, or give --token-file",
        )
    return PageAccess(token, hosts, upload)


@dataclass
class Buckets:
    """A token bucket for each client: `rate` a second, `burst` at once; the clients of longest ago are forgotten."""

    rate: float
    burst: float
    most: int = 4096
    levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def left(self, client: str) -> float:
        """How much a client has left."""
        level, when = self.levels.get(client, (self.burst, 0.0))
        return min(self.burst, level + (time.monotonic() - when) * self.rate)

    def take(self, client: str) -> bool:
        """Whether the client had one left, which it has no more."""
        left = self.left(client)
        if left < 1:
            return False
        self.levels[client] = (left - 1, time.monotonic())
        self.levels.move_to_end(client)
        while len(self.levels) > self.most:
            self.levels.popitem(last=False)
        return True


class Guard:
    """ASGI middleware: refuses what may not come in, limits the rest, and sends the headers that browsers obey."""

    def __init__(self, app: ASGIApp, access: PageAccess) -> None:
        self.app, self.access = app, access
        self.changes = Buckets(access.changes, access.burst)
        self.refused = Buckets(access.refusals, 10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if problem := self._problem(scope, headers):
            await _refuse(problem, _with_headers(scope, send))
            return
        body = _Body(receive, self.access.limit(scope["path"]))
        await self.app(scope, body.receive, _with_headers(scope, send))

    def _problem(self, scope: Scope, headers: Headers) -> Problem | None:
        client = scope["client"][0] if scope.get("client") else ""
        checks = (self._host, self._token, self._origin, self._rate, self._size)
        return next((problem for check in checks if (problem := check(scope, headers, client))), None)

    def _host(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if not self.access.hosts or host_name(headers.get("host", "")) in self.access.hosts:
            return None
        return plain_problem(421, "Unknown host", "this address is not one of the page's; give --allow-host")

    def _token(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if not self.access.token:
            return None
        if self.refused.left(client) < 1:
            return plain_problem(429, "Too many wrong tokens", "wait a little and try again")
        if hmac.compare_digest(given_token(headers.get("authorization", "")).encode(), self.access.token.encode()):
            return None
        if headers.get("authorization"):
            self.refused.take(client)
        return plain_problem(401, "A token is needed", "give it as the password, or as Authorization: Bearer")

    def _origin(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if scope["method"] in SAFE or not _foreign(headers):
            return None
        return plain_problem(403, "Foreign origin", "only the page itself may change something")

    def _rate(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if scope["method"] in SAFE or self.changes.take(client):
            return None
        return plain_problem(429, "Too many requests", "wait a little and try again")

    def _size(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) <= self.access.limit(scope["path"]):
            return None
        return too_large(self.access.limit(scope["path"]))


def too_large(limit: int) -> Problem:
    """What to tell who sends too much."""
    from tritonpm.core.units import human

    return plain_problem(413, "Too large", f"no more than {human(limit)} can be sent here")


def host_name(host: str) -> str:
    """The name in a Host header, without its port and in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def given_token(header: str) -> str:
    """The token in an Authorization header: a bearer's, or the password of basic auth."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for another site's page. Clients that are no browsers send neither header."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class _Body:
    """A body that is no longer than it may be, and that does not come slower than it must.

    Only the time counts for which we wait for the client, not that in which it waits for us.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._seen, self._waited, self._whole = 0, 0.0, False

    async def receive(self) -> Message:
        """The next part. Raises HTTPException where it is too long or too slow."""
        if self._whole:  # what comes now is the client's going away, which may take as long as it likes
            return await self._receive()
        began = time.monotonic()
        with anyio.move_on_after(PATIENCE + self._seen / SLOWEST - self._waited) as time_left:
            message = await self._receive()
        if time_left.cancelled_caught:
            raise HTTPException(408, "what is sent comes too slowly", {"Connection": "close"})
        self._waited += time.monotonic() - began
        self._seen += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._seen > self._limit:
            raise HTTPException(413, too_large(self._limit).detail)
        return message


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if not scope["path"].startswith("/static/"):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent


async def _refuse(problem: Problem, send: Send) -> None:
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="tritonpm", charset="UTF-8"'))
    if problem.status == 429:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(problem)})

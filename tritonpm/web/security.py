"""Who may come in: Host, who asks, origin, rate and size, before anything else sees a request.

On loopback no token is needed until there is one, so Host is checked: a name that somebody points at 127.0.0.1 is not
ours (rebinding). Elsewhere a token is a must, as `Authorization: Bearer` or as the password of basic auth, which
browsers ask for. What changes something must come from the page itself, or from a client that is no browser. What
those who are in may do: `web/roles.py`.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import anyio
import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tritonpm.catalogue.tokens import read_tokens
from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import NotFoundError, UsageError
from tritonpm.web.callers import ACTOR, Callers, cookie
from tritonpm.web.language import COOKIE, negotiated
from tritonpm.web.problems import MEDIA_TYPE, Problem, plain_problem, problem_shown

if TYPE_CHECKING:
    from tritonpm.web.oidc_settings import OidcSettings

log = logging.getLogger("tritonpm.web")
LOGIN = "/login"  # where one signs in
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
    """Who is let in. `hosts` are the names in Host, () is any; sizes in bytes, rates in requests a second.

    `token` may do everything; `tokens` is the file of those with roles, None the workspace's; `closed`: nobody comes in
    without one, though there is none. `oidc`: people sign in with a provider; `tls`: the page itself speaks https.
    """

    token: str = ""
    tokens: Path | None = None
    closed: bool = False
    oidc: OidcSettings | None = None
    tls: bool = False
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


def access(
    host: str, *, token: str = "", hosts: tuple[str, ...] = (), upload: int = PageAccess.upload,
    tokens: Path | None = None, named: bool = False, oidc: OidcSettings | None = None, tls: bool = False,
) -> PageAccess:  # fmt: skip
    """Who is let in at an address; `named`: the file of tokens was asked for.

    Raises UsageError where the address needs a token and there is none, or a short one; NotFoundError for a file that
    is named and not there; StorageError for one that cannot be read.
    """
    if token and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"the token is shorter than {SHORTEST_TOKEN} characters", do="choose a longer one")
    if named and tokens and not tokens.exists():
        raise NotFoundError("there is no such file", where=str(tokens), do="make it with `tritonpm token add --file`")
    known = read_tokens(tokens) if tokens else ()
    if is_loopback(host):
        return PageAccess(token, tokens, named, oidc, tls, (*PageAccess.hosts, *hosts), upload)
    if not (token or known or oidc):
        raise UsageError(
            f"{host} is reached from other machines, which needs a token",
            do="make one with `tritonpm token add`, set TRITONPM_UI_TOKEN, or give --token-file or --oidc",
        )
    return PageAccess(token, tokens, True, oidc, tls, hosts, upload)


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

    def __init__(self, app: ASGIApp, access: PageAccess, callers: Callers) -> None:
        self.app, self.access, self.callers = app, access, callers
        self.changes = Buckets(access.changes, access.burst)
        self.refused = Buckets(access.refusals, 10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if problem := self._problem(scope, headers):
            say = negotiated(headers.get("accept-language", ""), cookie(headers, COOKIE))
            more = self._way_in(scope, headers) if problem.status == 401 else ()
            await _refuse(problem_shown(problem, say), _with_headers(scope, send), more)
            return
        body = _Body(receive, self.access.limit(scope["path"]))
        await self.app(scope, body.receive, _with_headers(scope, send))

    def _way_in(self, scope: Scope, headers: Headers) -> Sequence[tuple[str, str]]:
        """How somebody who is not known comes in: a browser asks for a token, or is led to where one signs in."""
        if not self.access.oidc:
            return [("WWW-Authenticate", 'Basic realm="tritonpm", charset="UTF-8"')]
        if headers.get("hx-request"):
            return [("HX-Refresh", "true")]
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            asked = quote(scope["path"] + (f"?{query.decode('latin-1')}" if (query := scope["query_string"]) else ""))
            return [("Location", f"{LOGIN}/?next={asked}")]
        return [("WWW-Authenticate", "Bearer")]

    def _problem(self, scope: Scope, headers: Headers) -> Problem | None:
        client = scope["client"][0] if scope.get("client") else ""
        checks = (self._host, self._caller, self._origin, self._rate, self._size)
        return next((problem for check in checks if (problem := check(scope, headers, client))), None)

    def _host(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if not self.access.hosts or host_name(headers.get("host", "")) in self.access.hosts:
            return None
        return plain_problem(421, "Unknown host", "this address is not one of the page's; give --allow-host")

    def _caller(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if self.access.oidc and scope["path"].startswith((f"{LOGIN}/", "/static/")):
            return None
        if self.refused.left(client) < 1 and self.callers.closed:
            return plain_problem(429, "Too many wrong tokens", "wait a little and try again")
        if actor := self.callers.of(headers, client):
            scope[ACTOR] = actor
            return None
        if headers.get("authorization"):
            self.refused.take(client)
            log.warning("a wrong token came from %s", client)
        return plain_problem(401, "A token is needed", "give it as the password, or as Authorization: Bearer")

    def _origin(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        if scope["method"] in SAFE or not _foreign(headers):
            return None
        return plain_problem(403, "Foreign origin", "only the page itself may change something")

    def _rate(self, scope: Scope, headers: Headers, client: str) -> Problem | None:
        free = scope["method"] in SAFE and not scope["path"].startswith(LOGIN)  # which asks the provider
        if free or self.changes.take(client):
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


async def _refuse(problem: Problem, send: Send, more: Sequence[tuple[str, str]] = ()) -> None:
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    headers += [(name.lower().encode(), value.encode()) for name, value in more]
    if problem.status == 429:
        headers.append((b"retry-after", b"5"))
    status = 303 if any(name == "Location" for name, _ in more) else problem.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(problem)})

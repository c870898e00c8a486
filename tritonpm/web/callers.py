"""Who asks: the one token of the environment, one of a file's with its name and role, who has signed in, or anybody on
loopback."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Mapping
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from tritonpm.catalogue.audit import OPEN, TOKEN, Actor
from tritonpm.catalogue.tokens import AccessToken, holder, read_tokens
from tritonpm.core.errors import StorageError
from tritonpm.core.roles import Role
from tritonpm.web.language import Language
from tritonpm.web.sessions import SESSION, Sessions

ACTOR = "tritonpm.actor"  # in the scope of a request that is let in: who asks
# Names that no token has, since they hold a blank.
SHARED, LOCAL = "shared token", "local user"
log = logging.getLogger("tritonpm.web")


class KnownTokens:
    """The tokens of a file as it is now: who is removed is out at once, on a page that runs too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[AccessToken, ...] | None = ()

    def now(self) -> tuple[AccessToken, ...] | None:
        """The tokens; None where the file cannot be read or trusted, and so opens nothing and leaves nothing open."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:  # `token remove` leaves it: one that was there, or that a link names, is lost
            return None if self._seen or self._file.is_symlink() else ()
        except OSError:
            return None
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_mode)
        if seen != self._seen:
            try:
                self._tokens = read_tokens(self._file)
            except StorageError as error:
                log.error("no token opens anything: %s", error)
                self._tokens = None
            self._seen = seen
        return self._tokens


class Callers:
    """Who a request comes from. `closed`: nobody is let in who gives no token, whether there is one or not.

    `sessions` are of those who have signed in, None where nobody can.
    """

    def __init__(self, shared: str, tokens: Path, *, closed: bool, sessions: Sessions | None = None) -> None:
        self._shared, self._closed = shared, closed or bool(shared) or sessions is not None
        self._known, self.sessions = KnownTokens(tokens), sessions

    @property
    def closed(self) -> bool:
        """Whether who gives no token is kept out."""
        return self._closed or self._known.now() != ()

    def of(self, headers: Mapping[str, str], address: str) -> Actor | None:
        """Who asks, from an address; None: nobody who is let in."""
        if not self.closed:
            return Actor(LOCAL, Role.ADMINISTER, OPEN, address)
        if headers.get("authorization"):
            return self._with_token(given_token(headers["authorization"]), address)
        session = cookie(headers, SESSION)
        actor = self.sessions.get(session) if self.sessions and session else None
        return actor and replace(actor, origin=address)

    def _with_token(self, given: str, address: str) -> Actor | None:
        if not given:
            return None
        if self._shared and hmac.compare_digest(given.encode(errors="surrogatepass"), self._shared.encode()):
            return Actor(SHARED, Role.ADMINISTER, TOKEN, address)
        token = holder(self._known.now() or (), given)
        return Actor(token.name, token.role, TOKEN, address) if token else None


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


def cookie(headers: Mapping[str, str], name: str) -> str:
    """A cookie of a request, "" where it has none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def named(who: str, say: Language) -> str:
    """Who it is, for a person: a name, or what we say in place of one."""
    return say(who) if who in (SHARED, LOCAL) else who

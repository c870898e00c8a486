"""Who is signed in: in memory, by the digest of what a browser's cookie holds; a page started anew asks again."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict

from tritonpm.catalogue.audit import Actor
from tritonpm.core.files import digest_of_bytes

SESSION = "tritonpm-session"  # the cookie


class Sessions:
    """Those of one page; the oldest goes where there are too many."""

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self.seconds, self._most = seconds, most
        self._known: OrderedDict[str, tuple[Actor, float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, actor: Actor) -> str:
        """What the cookie of a new session holds."""
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._known[_key(made)] = actor, time.monotonic() + self.seconds
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return made

    def get(self, given: str) -> Actor | None:
        """Who it is, None where the session is not known or over."""
        with self._lock:
            actor, until = self._known.get(_key(given), (None, 0.0))
            if actor is not None and until < time.monotonic():
                del self._known[_key(given)]
                return None
            return actor

    def end(self, given: str) -> None:
        """Forget a session."""
        with self._lock:
            self._known.pop(_key(given), None)


def _key(given: str) -> str:
    return digest_of_bytes(given.encode(errors="surrogatepass"))

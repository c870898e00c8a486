"""Connections that are silent or slow cost nobody else theirs, before anything of a request is looked at.

uvicorn knows a limit for all connections and a deadline between two requests, and none for a request that does not come
whole. So here, where a connection is accepted: where there are too many, the one goes that has let us wait the longest,
of the client that has the most.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 512
HEADERS = 10.0  # seconds for the whole head of a request
UNREAD = 60.0  # seconds that a client may read nothing of what it asked for
Peer = tuple[Any, ...]  # its address and port


@dataclass
class _Held:
    """A connection, and since when the client lets us wait; None: it waits for us."""

    socket: socket.socket
    waiting: float | None = field(default_factory=time.monotonic)


class Connections:
    """Those of one page."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._held: dict[Peer, _Held] = {}

    def admit(self, connection: socket.socket, peer: Peer) -> bool:
        """Whether there is room for one more, which another one may have to make."""
        if len(self._held) >= self.most:
            self._held = {peer: held for peer, held in self._held.items() if held.socket.fileno() >= 0}
        if len(self._held) >= self.most and not self._end_one():
            return False
        self._held[peer] = _Held(connection)
        return True

    def waits(self, peer: Peer, for_client: bool) -> None:
        """Note who waits for whom; what was heard of the client just now counts anew."""
        if held := self._held.get(peer):
            held.waiting = time.monotonic() if for_client else None

    def ended(self, peer: Peer) -> None:
        """Forget a connection."""
        self._held.pop(peer, None)

    def _end_one(self) -> bool:
        slow = [(peer, held.waiting) for peer, held in self._held.items() if held.waiting is not None]
        if not slow:
            return False
        share = Counter(peer[0] for peer in self._held)
        peer, _ = min(slow, key=lambda each: (-share[each[0][0]], each[1]))
        with suppress(OSError):  # the loop reads its end and closes it, also in the middle of a TLS handshake
            self._held.pop(peer).socket.shutdown(socket.SHUT_RDWR)
        return True


class Listener(socket.socket):
    """A socket that accepts only those for which there is room."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """As a socket's own."""
        while True:
            connection, peer = super().accept()
            if self.connections.admit(connection, peer):
                return connection, peer
            connection.close()


class _Deadlines(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with deadlines for the client."""

    admitted: Connections
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer: Peer = transport.get_extra_info("peername") or ()
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        self.admitted.ended(self._peer)
        for timer in (self._head, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.admitted.waits(self._peer, for_client=True)
        self._unread = self._timer(UNREAD)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
        self._note()

    def _note(self) -> None:
        """Who waits for whom; the head of a request has its deadline from its first byte, or the first of all."""
        sends = self.conn.their_state is h11.SEND_BODY
        useless = sends and self.cycle.response_complete  # the rest of a body that nobody reads
        expected = useless or self.conn.their_state is h11.IDLE
        self.admitted.waits(self._peer, expected or sends)
        between = self.timeout_keep_alive_task is not None  # two requests: uvicorn has a deadline for that
        if expected and not between and self._head is None:
            self._head = self._timer(HEADERS)
        elif not expected and self._head is not None:
            self._head.cancel()
            self._head = None

    def _timer(self, seconds: float) -> asyncio.TimerHandle:
        end: Callable[[], None] = self.transport.abort
        return self.loop.call_later(seconds, end)


def protocol(connections: Connections) -> type[H11Protocol]:
    """What uvicorn makes for each of these connections."""
    return type("Deadlines", (_Deadlines,), {"admitted": connections})

"""A wire between a client and a server that can be broken on purpose, at a chosen request."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

CUT = "cut"  # the connection ends before the request arrives
LOST = "lost"  # the server does what it was asked, and the connection ends before its reply
TORN = "torn"  # the connection ends in the middle of the reply
HANG = "hang"  # the request never arrives, and the connection stays open
MUTE = "mute"  # the server does what it was asked, and the reply never comes
REFUSED = "refused"  # nobody listens any more
FAULTS = (CUT, LOST, TORN, HANG, MUTE, REFUSED)
_BLOCK = 1 << 16


@dataclass(eq=False)
class _Wire:
    """One connection: the client's end, the server's end, and what befalls the next reply."""

    client: socket.socket
    server: socket.socket
    reply: str = ""

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Forwards 127.0.0.1:PORT to `target`; use it as a context."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._lock, self._wires = threading.Lock(), set[_Wire]()
        self._fault, self._left, self._lasting, self.struck = "", 0, False, False
        self._listener = self._listening(0)
        self._port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{self._port}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._refuse()
        self._drop_all()

    def arm(self, fault: str, after: int = 0, *, lasting: bool = False) -> None:
        """Break the next request but `after`: it alone, or from it on every one until `heal`."""
        with self._lock:
            self._fault, self._left, self._lasting, self.struck = fault, after, lasting, False

    def heal(self) -> None:
        """Forward again; connections that hang end, so that no old reply comes late."""
        with self._lock:
            self._fault = ""
        self._drop_all()
        if self._listener.fileno() < 0:
            self._listener = self._listening(self._port)

    def _listening(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                wire = _Wire(client, socket.create_connection(self._target, timeout=10))
                wire.server.settimeout(None)
                with self._lock:
                    self._wires.add(wire)
                for pump in (self._requests, self._replies):
                    threading.Thread(target=self._pumped, args=(pump, wire), daemon=True).start()

    def _pumped(self, pump: object, wire: _Wire) -> None:
        with suppress(OSError):
            pump(wire)  # type: ignore[operator]
        wire.close()
        with self._lock:
            self._wires.discard(wire)

    def _requests(self, wire: _Wire) -> None:
        while block := wire.client.recv(_BLOCK):
            fault = self._next_fault()
            if fault == REFUSED:
                self._refuse()
            if fault in (CUT, REFUSED):
                return
            if fault != HANG:
                wire.reply = fault
                wire.server.sendall(block)

    def _replies(self, wire: _Wire) -> None:
        while block := wire.server.recv(_BLOCK):
            if wire.reply == TORN:
                wire.client.sendall(block[: len(block) // 2])
            if wire.reply in (LOST, TORN):
                return
            if wire.reply != MUTE:
                wire.client.sendall(block)

    def _next_fault(self) -> str:
        with self._lock:
            if not self._fault:
                return ""
            if self._left:
                self._left -= 1
                return ""
            fault, self.struck = self._fault, True
            if not self._lasting:
                self._fault = ""
            return fault

    def _refuse(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends a waiting accept
        self._listener.close()

    def _drop_all(self) -> None:
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.close()

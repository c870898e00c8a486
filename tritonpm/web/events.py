"""What happens, told to every open page: server-sent events, from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from tritonpm.web.language import ENGLISH, Language

SNAPSHOT = "snapshot"  # what only those hear who ask for it
_QUEUED = 256  # events that a slow page may be behind; what does not fit is lost, and the page looks again
_BEAT = 15.0  # seconds after which a silent stream says that it lives


class Hub:
    """Who listens. `publish` may be called by any thread; all else by the loop that `listen` was first called on."""

    def __init__(self, most: int = 64) -> None:
        self.most = most
        self._listeners: dict[asyncio.Queue[bytes], tuple[Language, bool]] = {}  # whether each wants snapshots, too
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    @property
    def full(self) -> bool:
        """Whether no more may listen."""
        return len(self._listeners) >= self.most

    def publish(self, kind: str, data: Callable[[Language], Any]) -> None:
        """Tell everybody, each in the own language."""
        if self._loop is not None and self._listeners and not self._closed:
            self._loop.call_soon_threadsafe(self._deliver, kind, data)

    def close(self) -> None:
        """End every stream, so that the server can end."""
        self._closed = True
        for queue in self._listeners:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(b"")

    async def listen(self, say: Language = ENGLISH, *, snapshots: bool = False) -> AsyncIterator[bytes]:
        """The events from now on, as they are sent."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)
        self._listeners[queue] = say, snapshots
        try:
            yield b"retry: 2000\n\n"
            while not self._closed:
                try:
                    message = await asyncio.wait_for(queue.get(), _BEAT)
                except asyncio.TimeoutError:
                    message = b": still here\n\n"
                if not message:
                    return
                yield message
        finally:
            self._listeners.pop(queue, None)

    def _deliver(self, kind: str, data: Callable[[Language], Any]) -> None:
        messages: dict[str, bytes] = {}
        for queue, (say, snapshots) in self._listeners.items():
            if (snapshots or kind != SNAPSHOT) and not queue.full():
                if say.code not in messages:
                    messages[say.code] = f"event: {kind}\ndata: {msgspec.json.encode(data(say)).decode()}\n\n".encode()
                queue.put_nowait(messages[say.code])

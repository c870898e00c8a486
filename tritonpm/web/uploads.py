"""Places for the files that come in, of which there are few: a slow client keeps nobody else out."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from tritonpm.core.errors import BusyError

_AT_ONCE = 8
_FAIR = 2.0  # seconds that a client may let us wait before anybody else has its place
_BRISK = 64 << 10  # bytes a second: who sends more keeps it
_ASIDE = 10.0  # seconds to wait for a place
_LOOK = 0.1  # seconds


@dataclass
class Incoming:
    """A file that is coming in; `waited` for its client, `seen` of its bytes."""

    client: str
    ending: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    seen: int = 0
    waited: float = 0.0
    since: float | None = None  # when it began to wait for the next part

    @property
    def pace(self) -> float:
        """Bytes a second, of the time for which we wait for it; infinite while it may still be about to begin."""
        waited = self.waited + (time.monotonic() - self.since if self.since else 0)
        return self.seen / waited if waited > _FAIR else math.inf

    async def next(self, parts: AsyncIterator[bytes]) -> bytes | None:
        """The next part; None at the end."""
        self.since = time.monotonic()
        part = await anext(parts, None)
        self.waited += time.monotonic() - self.since
        self.since, self.seen = None, self.seen + len(part or b"")
        return part


class Uploads:
    """The files that are coming in to one page; where there are many, a slow one makes room. Only the loop asks."""

    def __init__(self) -> None:
        self._incoming: list[Incoming] = []

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[Incoming]:
        """A place for one more. Raises BusyError where there is none for a while, or where it must make room."""
        await self._room()
        own = Incoming(client)
        self._incoming.append(own)
        try:
            with own.ending:
                yield own
        finally:
            self._incoming.remove(own)
        if own.ending.cancelled_caught:
            raise BusyError("it came in too slowly, and others wait", do="try again from a better connection")

    async def _room(self) -> None:
        end = time.monotonic() + _ASIDE
        while len(self._incoming) >= _AT_ONCE:
            share = Counter(each.client for each in self._incoming)
            silent = [each for each in self._incoming if each.since and not each.ending.cancel_called]
            slow = [each for each in silent if each.pace < _BRISK]
            if slow:
                min(slow, key=lambda each: (-share[each.client], each.pace)).ending.cancel()
            elif time.monotonic() > end:
                raise BusyError(f"{_AT_ONCE} files are coming in already", do="wait until one of them is there")
            await anyio.sleep(_LOOK)

"""Files that came in and wait until it is said what becomes of them: so many, and for so long."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonpm.core.errors import BusyError, NotFoundError
from tritonpm.operations.inspect import Inspection

_MOST = 64
_KEPT = 3600.0  # seconds


class Upload:
    """A file that came in; after the block, or `close`, it is gone."""

    def __init__(self, path: Path, held: ExitStack) -> None:
        self.path, self._held = path, held

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete it."""
        self._held.close()


@dataclass(frozen=True, eq=False)
class HeldUpload:
    """A file that waits; `filename` as the client calls it.

    `looks`: what was found in it, by whether code was allowed.
    """

    upload: Upload
    filename: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    since: float = field(default_factory=time.monotonic)
    looks: dict[bool, Inspection] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.upload.path


class HeldUploads:
    """The files of one page that wait. Any thread may ask."""

    def __init__(self) -> None:
        self._files: dict[str, HeldUpload] = {}
        self._lock = threading.Lock()

    def hold(self, held: HeldUpload) -> None:
        """Keep a file. Raises BusyError where too many wait."""
        with self._lock:
            if len(self._files) >= _MOST:
                raise BusyError(f"{_MOST} files wait to be imported", do="import some of them, or discard them")
            self._files[held.id] = held

    def get(self, number: str) -> HeldUpload:
        """A file that waits. Raises NotFoundError."""
        with self._lock:
            return self._known(number)

    def take(self, number: str) -> HeldUpload:
        """A file that waits no more: who takes it closes it, or gives it back. Raises NotFoundError."""
        with self._lock:
            held = self._known(number)
            del self._files[number]
            return held

    def give_back(self, held: HeldUpload) -> None:
        """It waits again: what was tried with it failed."""
        with self._lock:
            self._files[held.id] = replace(held, since=time.monotonic())

    def expire(self, kept: float = _KEPT) -> None:
        """Delete what has waited for longer than so many seconds."""
        with self._lock:
            old = [held for held in self._files.values() if time.monotonic() - held.since > kept]
            for held in old:
                del self._files[held.id]
        for held in old:
            held.upload.close()

    def close(self) -> None:
        """Delete them all."""
        self.expire(kept=-1.0)

    def _known(self, number: str) -> HeldUpload:
        if number not in self._files:
            raise NotFoundError("that file is no longer waiting", do="hand it in again")
        return self._files[number]

"""What was measured, one line each, written at once: a search that was interrupted goes on from here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tritonpm.core.files import storage_error
from tritonpm.tune.reading import Reading
from tritonpm.tune.space import Candidate


@dataclass(frozen=True)
class JournalEntry:
    """A measurement of a candidate, or why it could not be tried; `spent` are the seconds since the line before.

    Candidates of one round and rung were measured one after the other, under the same conditions.
    """

    candidate: Candidate | None
    round: int = 0
    rung: int = 0
    reading: Reading | None = None
    refused: str = ""
    ended: str = ""  # why the search ended, on its last line
    spent: float = 0.0


@dataclass
class Journal:
    """The lines of one file; `request` is what was asked for: a file of another request is not gone on with."""

    path: Path
    entries: list[JournalEntry] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, name: str, request: object, *, again: bool) -> Journal:
        """The journal of a request, with what it holds already unless it is to be done again. Raises StorageError."""
        mark = hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()[:16]
        path = folder / f"{name}-{mark}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if again:
                path.unlink(missing_ok=True)
            content = path.read_bytes() if path.exists() else b""
            entries, whole = _whole(content)
            if whole < len(content):
                os.truncate(path, whole)
        except OSError as error:
            raise storage_error(error, path) from None
        return cls(path, entries)

    @property
    def spent(self) -> float:
        """Seconds of searching."""
        return sum(entry.spent for entry in self.entries)

    @property
    def ended(self) -> str:
        """Why the search ended, "" where it did not."""
        return self.entries[-1].ended if self.entries else ""

    def add(self, entry: JournalEntry) -> None:
        """Write a line, to the disk. Raises StorageError."""
        try:
            with self.path.open("ab") as stream:
                stream.write(msgspec.json.encode(entry) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise storage_error(error, self.path) from None
        self.entries.append(entry)


def _whole(content: bytes) -> tuple[list[JournalEntry], int]:
    """The entries up to the first line that a kill has cut, and how many bytes they are."""
    entries: list[JournalEntry] = []
    whole = 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            entries.append(msgspec.json.decode(line, type=JournalEntry))
        except (msgspec.MsgspecError, ValueError):  # the second for what is not UTF-8
            break
        whole += len(line)
    return entries, whole

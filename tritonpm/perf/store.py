"""The results of a workspace: one JSON file each, numbered, written whole or not at all, never changed afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tritonpm.disk import storage_error, sync
from tritonpm.errors import NotFoundError, StorageError
from tritonpm.perf.measurement import Result


class Results:
    """The results that lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, result: Result) -> Result:
        """Write a result under the next free number. Raises StorageError."""
        import msgspec

        aside = self.folder / f"new-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = max(self._numbers(), default=0)
            while True:
                number += 1
                kept = replace(result, number=number)
                aside.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
                sync(aside)
                try:
                    os.link(aside, self._place(number))  # unlike a rename it never replaces what another one kept
                except FileExistsError:
                    continue
                sync(self.folder)
                return kept
        except OSError as error:
            raise storage_error(error, self.folder) from None
        finally:
            aside.unlink(missing_ok=True)

    def all(self, package: str | None = None) -> list[Result]:
        """Every result, or a package's, the newest first. Raises StorageError naming one that is damaged."""
        found = (self._read(self._place(number)) for number in sorted(self._numbers(), reverse=True))
        return [result for result in found if package in (None, result.package)]

    def get(self, number: int) -> Result:
        """One result. Raises NotFoundError, StorageError."""
        if not self._place(number).is_file():
            raise NotFoundError(f"there is no result {number}", do="`tritonpm perf list` shows them")
        return self._read(self._place(number))

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:06}.json"

    def _numbers(self) -> Iterator[int]:
        return (int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal())

    def _read(self, path: Path) -> Result:
        import msgspec

        try:
            return msgspec.json.decode(path.read_bytes(), type=Result)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StorageError(f"is no result ({error})", where=str(path), do="move it away and try again") from None

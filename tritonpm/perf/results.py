"""The results of a workspace: one JSON file each, numbered, written whole or not at all, never changed afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tritonpm.core.errors import NotFoundError, StorageError
from tritonpm.core.files import storage_error, sync
from tritonpm.perf.measurement import Result


class Results:
    """The results that lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, result: Result) -> Result:
        """Write a result under the next free number. Raises StorageError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            number = max(self._numbers(), default=0) + 1
            while not self._written(kept := replace(result, number=number)):
                number += 1
            sync(self.folder)
        except OSError as error:
            raise storage_error(error, self.folder) from None
        return kept

    def _written(self, result: Result) -> bool:
        """Write a result whole, unless its number is taken: a link, unlike a rename, never replaces anything."""
        import msgspec

        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="new-") as aside:
            aside.write(msgspec.json.format(msgspec.json.encode(result)))
            aside.flush()
            sync(Path(aside.name))
            try:
                os.link(aside.name, self._place(result.number))
            except FileExistsError:
                return False
        return True

    def all(self, package: str | None = None) -> list[Result]:
        """Every result, or a package's, the newest first. Raises StorageError naming one that is damaged."""
        results = (self._read(self._place(number)) for number in sorted(self._numbers(), reverse=True))
        return [result for result in results if package in (None, result.package)]

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
            raise StorageError(f"is not a result ({error})", where=str(path), do="move it away and try again") from None

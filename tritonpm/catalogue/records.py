"""Each package's record once more, as a file: from these a lost catalogue is rebuilt. The catalogue is the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tritonpm.catalogue.database import plain
from tritonpm.catalogue.listing import Summary
from tritonpm.core.files import read_state, write_atomically
from tritonpm.core.types import Package
from tritonpm.settings.settings import Settings


@dataclass(frozen=True)
class Imported:
    """What cannot be had again by running anything: the package, and what was chosen for it."""

    package: Package
    settings: Settings
    summary: Summary
    canary_of: str = ""


def write(folder: Path, record: Imported) -> None:
    """Replace the record of a package, to the disk. Raises StorageError."""
    with plain(folder):
        folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{record.package.name}.json", msgspec.json.encode(record))


def forget(folder: Path, name: str) -> None:
    """Delete the record of `name`, if there is one. Raises StorageError."""
    with plain(folder):
        (folder / f"{name}.json").unlink(missing_ok=True)


def read(folder: Path) -> tuple[list[Imported], list[str]]:
    """Every record, and what is none: (file: why), which costs none of the others."""
    listed, unreadable = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            listed.append(msgspec.json.decode(read_state(path), type=Imported))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            unreadable.append(f"{path}: is not a record of a package ({error})")
    return listed, unreadable

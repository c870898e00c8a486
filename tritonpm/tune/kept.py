"""What a search found last for a package, kept until its content or its settings are others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tritonpm.core.files import write_atomically
from tritonpm.settings.settings import Settings
from tritonpm.tune.pareto import MeasuredSettings, Tuned


@dataclass(frozen=True)
class KeptTuned:
    """A result, and the digest of the content that it is of."""

    digest: str
    tuned: Tuned


def keep(folder: Path, digest: str, tuned: Tuned) -> None:
    """Keep a result in the folder of the searches, which is made where it is not there. Raises StorageError."""
    folder.mkdir(exist_ok=True)
    write_atomically(_place(folder, tuned.package), msgspec.json.encode(KeptTuned(digest, tuned)))


def kept(folder: Path, name: str, digest: str, settings: Settings) -> Tuned | None:
    """The last result for a content, with the settings that it started with or recommends; None where there is none."""
    try:
        found = msgspec.json.decode(_place(folder, name).read_bytes(), type=KeptTuned)
    except (OSError, msgspec.MsgspecError):
        return None
    return found.tuned if found.digest == digest and settings in (found.tuned.before, found.tuned.settings) else None


def best_of(tuned: Tuned, precision: str) -> MeasuredSettings | None:
    """The best that was measured in a precision; None where none was, or where stages have precisions of their own."""
    rows = (row for row in tuned.rows if row.changes.get("precision", tuned.before.precision) == precision)
    return next((row for row in rows if not row.changes.get("stages", tuned.before.stages)), None)


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name}.tuned.json"

"""Small files of the workspace, replaced whole and forced to the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tritonpm.core.errors import StorageError
from tritonpm.core.files import read_state, storage_error, sync, write_atomically

T = TypeVar("T")


def read(place: Path, form: type[T]) -> T | None:
    """What a file holds; None where there is none. Raises StorageError."""
    try:
        return msgspec.json.decode(read_state(place), type=form)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(place), do="restore it, or move it away") from None


def write(place: Path, content: object) -> None:
    """Put `content` in the place of what was there. Raises StorageError."""
    write_atomically(place, msgspec.json.encode(content))


def remove(place: Path) -> None:
    """Delete a file, if it is there. Raises StorageError."""
    try:
        place.unlink(missing_ok=True)
        sync(place.parent)
    except OSError as error:
        raise storage_error(error, place) from None

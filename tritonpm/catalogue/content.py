"""Plain data as JSON and back: what JSON cannot say is refused before it is stored, rot is told when it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tritonpm.core.errors import RuleError, StorageError
from tritonpm.settings.settings import Settings
from tritonpm.settings.values import require_values

T = TypeVar("T")
HEAL = "`tritonpm remove` its package, which touches no other, and import it again"
_UNFIT = (ValueError, TypeError, OverflowError, RecursionError)
_ROT = (
    ValueError,
    TypeError,
    RecursionError,
)  # every decoder, msgspec too, says that bytes are rotten so; a rotten type is no bytes


def encode(value: Any, where: str = "") -> bytes:
    """As JSON. Raises RuleError for what could not be read back: it would be lost, and is refused while it is known.

    JSON has no number that is not finite, and null is read as no number.
    """
    for path, number in _numbers(msgspec.to_builtins(value)):
        if not math.isfinite(number):
            raise RuleError(f"{path} is {number}, which is not a finite number", where=where, do="give a finite number")
    if isinstance(value, Settings):
        require_values(value, where)
    try:
        content = msgspec.json.encode(value)
        msgspec.json.decode(content, type=type(value))
    except _UNFIT as error:
        raise RuleError(f"a value cannot be kept ({error})", where=where, do="give another value") from None
    return content


def encoded(name: str, *records: object) -> list[bytes]:
    """The records of package `name`, as `encode`."""
    return [encode(record, name) for record in records]


def decode(content: bytes, type_: type[T], database: Path, of: str) -> T:
    """From JSON. Raises StorageError naming what the record is `of`; no other record is touched by it."""
    try:
        return msgspec.json.decode(content or b"", type=type_)  # rot may have made it NULL
    except _ROT as error:
        what = f"the record of {of} cannot be read ({error})"
        raise StorageError(what, where=str(database), do=HEAL) from None


def readable(content: bytes | None, type_: type[T]) -> T | None:
    """As `decode`, for what can be done without: None where it cannot be read."""
    with suppress(*_ROT):
        return msgspec.json.decode(content or b"", type=type_)
    return None


def _numbers(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every float, with where it is: `tolerances.max_abs`."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item, path)

"""Sizes in bytes, numbers of things and moments, and how they are told."""

from __future__ import annotations

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def human(size: float) -> str:
    """A size for a sentence: 3 bytes, 1.5 MiB."""
    value, unit = in_unit(size)
    return f"{value:.4g} {unit}"


def in_unit(size: float) -> tuple[float, str]:
    """A size in the unit in which it is read: 1.5, MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < KIB:
            return size, unit
        size /= KIB
    return size, "GiB"


def number_of(number: int, what: str) -> str:
    """A number of things for a sentence: 1 sample, 2 samples."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def moment(seconds: float) -> str:
    """A Unix time as a program and a person read it: 2026-01-31T08:00:00+01:00."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")

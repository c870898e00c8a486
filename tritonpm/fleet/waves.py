"""The order in which servers change: one alone first, then so many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tritonpm.core.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """How fast a fleet changes, and how much it may lose on the way."""

    wave: str = "25%"  # of the servers at once, or how many; the first wave is one server
    soak: float = 0.0  # seconds that a wave has to prove itself under its own traffic
    failing: float = 0.01  # the share of requests that may fail meanwhile
    max_unavailable: int = 0  # servers that may not answer: they follow with `sync`
    timeout: float = 300.0  # seconds for one load


def waves(servers: Sequence[T], wave: str) -> list[tuple[T, ...]]:
    """All of `servers`, each once, in waves. Raises UsageError."""
    size = size_of(wave, len(servers))
    rest = servers[1:]
    return [tuple(servers[:1])] * bool(servers) + [
        tuple(rest[start : start + size]) for start in range(0, len(rest), size)
    ]


def size_of(wave: str, servers: int) -> int:
    """`"3"` as 3, `"25%"` as that part of the servers, at least one. Raises UsageError."""
    number, percent, rest = wave.partition("%")
    if rest or not number.isdecimal() or not int(number) or (percent and int(number) > 100):
        raise UsageError(f"{wave!r} is not a size for a wave", where="--wave", do="give a number such as 4, or 25%")
    return max(1, -(-servers * int(number) // 100)) if percent else int(number)

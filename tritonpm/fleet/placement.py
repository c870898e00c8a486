"""Which package on which server: first-fit decreasing by memory, replicas apart, and what is there stays where it fits.

First-fit decreasing needs at most 11/9 of the servers that the best placement needs, and one more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PackageNeed:
    """A package: what it takes on a server, and on how many servers it shall be."""

    name: str
    memory: int
    replicas: int = 1


@dataclass(frozen=True)
class Room:
    """A server: what models may take there, and what it has in common with others, such as its rack."""

    name: str
    memory: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Placement:
    """Package → servers; `missing` is how many servers each package lacks, which no server has room for."""

    placed: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, int]


def place(
    needs: Iterable[PackageNeed],
    rooms: Sequence[Room],
    *,
    present: Mapping[str, Collection[str]] | None = None,
    apart: Iterable[Collection[str]] = (),
    spread: str = "",
) -> Placement:
    """Place packages. `present` is where they are; each of `apart` are packages that never share a server.

    A package is on a server once. With `spread`, the name of a label, its replicas are evenly on the label's values,
    as far as there is room.
    """
    ordered = sorted(needs, key=lambda need: (-need.memory, need.name))
    table = _Table(rooms, _others(apart), spread)
    for need in ordered:
        for name in [room.name for room in rooms if room.name in (present or {}).get(need.name, ())][: need.replicas]:
            if table.fits(need, name):
                table.put(need, name)
    for need in ordered:
        for name in table.candidates(need):
            table.put(need, name)
    placed = {need.name: table.servers_of(need.name) for need in ordered}
    missing = {need.name: need.replicas - len(placed[need.name]) for need in ordered}
    return Placement(placed, {name: count for name, count in missing.items() if count})


class _Table:
    """Who is where so far, and what is free."""

    def __init__(self, rooms: Sequence[Room], others: Mapping[str, set[str]], spread: str) -> None:
        self._rooms, self._others, self._spread = {room.name: room for room in rooms}, others, spread
        self._order = {room.name: number for number, room in enumerate(rooms)}
        self._free = {room.name: room.memory for room in rooms}
        self._on: dict[str, set[str]] = {room.name: set() for room in rooms}
        self._servers: dict[str, set[str]] = {}  # of each package

    def fits(self, need: PackageNeed, name: str) -> bool:
        if self._free[name] < need.memory or name in self._servers.get(need.name, ()):
            return False
        return not self._others.get(need.name, set()) & self._on[name]

    def put(self, need: PackageNeed, name: str) -> None:
        self._free[name] -= need.memory
        self._on[name].add(need.name)
        self._servers.setdefault(need.name, set()).add(name)

    def servers_of(self, package: str) -> tuple[str, ...]:
        return tuple(sorted(self._servers.get(package, ()), key=self._order.__getitem__))

    def candidates(self, need: PackageNeed) -> Iterator[str]:
        """The servers for the replicas that a package lacks; each is to be taken before the next is asked for."""
        for _ in range(need.replicas - len(self._servers.get(need.name, ()))):
            fitting = (name for name in self._rooms if self.fits(need, name))
            if self._spread:
                server = min(fitting, key=lambda name: self._beside(need.name, name), default=None)
            else:
                server = next(fitting, None)
            if server is None:
                return
            yield server

    def _beside(self, package: str, name: str) -> int:
        """How many replicas are on servers with the same value of the label."""
        value = self._rooms[name].labels.get(self._spread)
        there = self._servers.get(package, ())
        return sum(self._rooms[server].labels.get(self._spread) == value for server in there)


def _others(apart: Iterable[Collection[str]]) -> dict[str, set[str]]:
    """Package → the packages that it shares no server with."""
    others: dict[str, set[str]] = {}
    for group in apart:
        for name in group:
            others.setdefault(name, set()).update(set(group) - {name})
    return others

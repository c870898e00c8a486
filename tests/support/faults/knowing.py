"""What the state machine knows of each package, and how it learns which way a change came out that was broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from itertools import product
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.support.faults.acting import Fate, act
from tests.support.faults.house import KILL, House, Made
from tests.support.waiting import until
from tests.support.workspaces import opened
from tritonpm.operations.list import packages
from tritonpm.operations.local_repository import changing
from tritonpm.operations.serve import load_all_proved
from tritonpm.operations.sync import sync

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """What must be so of one package: what is wanted, what was proved and what serves, and what lies on the disk.

    `made` is what is wanted, `current` what is published; `wanted` is whether it shall be loaded, and `served` what
    answers under its name.
    """

    made: Made
    current: Made | None = None
    proved: Made | None = None
    wanted: bool = False
    served: Made | None = None

    def loaded(self) -> Kept:
        """After a load: what does not prove itself is taken back, to what was proved before it or served."""
        if self.made.good:
            return Kept(self.made, self.made, self.made, True, self.made)
        before = self.proved or self.served
        return replace(self, current=before or self.made, served=before if self.served else None)

    def switched(self, made: Made) -> Kept:
        """After a live change, where the package serves or shall; else only what is wanted changes."""
        after = replace(self, made=made)
        if not self.live:
            return after
        return after.loaded() if made.good else replace(self, current=self.proved or self.served)

    @property
    def live(self) -> bool:
        """Whether a change is brought to the server: what shall be loaded and is not, as it was, comes back first."""
        return self.wanted or self.served is not None

    def brought_back(self) -> Kept:
        """What was proved serves, whatever is wanted; what was never proved is loaded as it is."""
        if self.proved is None:
            return self.loaded()
        return replace(self, current=self.proved, served=self.proved)

    def synced(self) -> Kept:
        if self.wanted:
            return self if self.served and self.served == self.proved else self.brought_back()
        return replace(self, served=None)

    def restarted(self) -> Kept:
        return self.brought_back() if self.wanted else replace(self, served=None)


Known = dict[str, Kept | None]


def between(before: Kept | None, after: Kept | None, victim: str, meant: Made | None) -> list[Kept | None]:
    """What may be there of a package where a change from `before` to `after`, by way of `meant`, was broken off.

    Proved is the old or the new; what is wanted may be what was meant, even where that would not have proved itself.
    """
    if before is None or after is None:
        return [before, after]
    made = {before.made, after.made, meant or after.made}
    parts: tuple[Iterable[Any], ...] = (
        made,
        {before.current, after.current, before.proved, *made},
        {before.proved, after.proved},
        {before.wanted, after.wanted},
        {before.served, after.served, before.proved},
    )
    every = [Kept(*part) for part in product(*parts)]
    if victim == "server":  # who lives on takes back what it has chosen
        return list(every)
    old = (before.current, before.proved, before.made)  # nothing is published before it is wanted
    return [kept for kept in every if kept.made != before.made or kept.current in old]


def chosen(which: int, there: Iterable[T]) -> T | None:
    """The one that `which` means of those that are there."""
    sorted_ = sorted(there)  # type: ignore[type-var]
    return sorted_[which % len(sorted_)] if sorted_ else None


class Found(BaseException):
    """Ends the run at once: what has happened to a real server and a real disk cannot be replayed."""


def guarded(step: Callable[..., None]) -> Callable[..., None]:
    """The step; what it finds is told with all that led to it."""

    @wraps(step)
    def told(self: Knowing, *drawn: object, **named: object) -> None:
        try:
            step(self, *drawn, **named)
        except Exception as error:
            self.house.broken = True
            raise Found("\n".join(self.house.story)) from error

    return told


def of_a_package(step: Callable[..., None]) -> Callable[..., None]:
    """The step on the package that is meant, if there is one."""

    @wraps(step)
    def taken(self: Knowing, which: int, **drawn: object) -> None:
        if name := chosen(which, self.kept):
            step(self, name, **drawn)

    return taken


class Knowing(RuleBasedStateMachine):
    """What is true, beside what is there."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.kept: dict[str, Kept] = {}
        house.story = []
        house.examples += 1
        self.revisions: dict[str, dict[int, Made]] = {}
        self.stacks: dict[str, list[int]] = {}  # of each package, what served, the newest first
        self.tried: set[Made] = set()
        self.leases: set[tuple[str, str]] = set()
        self.damaged: set[str] = set()  # models whose files somebody changed
        self.strays: set[str] = set()  # packages of which members may be loaded that nothing needs
        self.foreign: set[str] = set()

    def serving(self) -> list[str]:
        return sorted(name for name, kept in self.kept.items() if kept.served)

    def drifts(self, name: str) -> bool:
        """Whether it is to be told that what is wanted, proved and served is not the same."""
        kept, problem = self.kept[name], self.house.context.catalogue.get(name).problem
        if kept.proved and (kept.made != kept.proved or problem):
            return True
        if kept.served is None:
            return kept.wanted
        return not kept.wanted or kept.served != kept.proved

    def taken(self, content: str, name: str = "") -> bool:
        return any(kept.made.content == content for other, kept in self.kept.items() if other != name)

    def in_use(self, name: str) -> str:
        return "BusyError" if any(package == name for package, _ in self.leases) else ""

    def seen(self, name: str) -> Kept:
        house = self.house
        wanted = house.context.catalogue.get(name).wanted
        return Kept(house.chosen(name), house.current(name), house.proved(name), wanted, house.served(name))

    def count(self, what: str, *told: object) -> None:
        self.house.counts[what] += 1
        self.house.story.append(f"{what} {' '.join(map(str, told))}")

    def do(
        self,
        after: Known,
        error: str,
        fate: Fate | None,
        what: str,
        name: str,
        *told: object,
        refused: Kept | None = None,
        meant: Made | None = None,
    ) -> None:
        """Do it, and see that it came out as one of those ways that it may, which is then known.

        `refused` is what an error leaves, all as it was unless it is given; `meant` is what was to be wanted, which a
        kill may leave where the error would have taken it back.
        """
        before = {package: self.kept.get(package) for package in after}
        self.tried |= {kept.made for kept in after.values() if kept}
        self.tried |= {meant} if meant else set()
        told_error: Known = {name: refused} if refused else before
        self.count(what, name, *told, fate)
        outcome = act(self.house.context, fate, what, name, *told)
        self.house.story.append(f"    {outcome}")
        if outcome.struck and fate:
            self.count(f"{KILL} {fate.victim} in {what}")
            freed = error == "BusyError" and fate.victim == "server"  # what is served no more is in nobody's way
            self.struck(fate, before, told_error if error and not freed else after, meant)
        elif error:
            assert (outcome.state, outcome.error) == ("refused", error), outcome
            self.know(told_error)
        else:
            assert outcome.state == "done", outcome
            self.know(after)

    def struck(self, fate: Fate, before: Known, after: Known, meant: Made | None) -> None:
        """What was killed in the middle came out as the old state or the new one, once its successor has looked."""
        may = {name: between(before[name], after[name], fate.victim, meant) for name in before}
        if fate.victim == "server":
            self.restarted(may)
            return
        self.house.rested()
        with changing(opened(self.house.context.workspace.root), "look"):
            pass
        self.synced(may)

    def restarted(self, may: dict[str, list[Kept | None]]) -> None:
        house = self.house
        until(house.server_gone)
        house.serve()
        list(load_all_proved(house.context))
        self.settle(may, Kept.restarted)

    def synced(self, may: dict[str, list[Kept | None]]) -> None:
        house = self.house
        house.rested()
        list(sync(house.context))
        self.settle(may, Kept.synced)

    def settle(self, may: dict[str, list[Kept | None]], settled: Callable[[Kept], Kept]) -> None:
        """Learn which of those states that may be is there, every package having been `settled` meanwhile."""
        there = {entry.name for entry in packages(self.house.context.catalogue)}
        every: dict[str, list[Kept | None]] = {name: [kept] for name, kept in self.kept.items()}
        after: Known = {}
        for name, states in {**every, **may}.items():
            expected = [settled(kept) if kept else None for kept in states]
            after[name] = self.seen(name) if name in there else None
            assert after[name] in expected, (name, after[name], expected)
        self.strays.clear()
        self.know(after)

    def know(self, after: Known) -> None:
        gone, come = (
            {n for n in after if (n in self.kept) is was and bool(after[n]) is not was} for was in (True, False)
        )
        for name in gone:
            self.leases = {lease for lease in self.leases if lease[0] != name}
            self.strays.discard(name)
            del self.kept[name]
            self.stacks.pop(name)
            told = self.revisions.pop(name)
            self.revisions |= dict.fromkeys(come, told)  # it was renamed
        for name, kept in after.items():
            if kept:
                self.remember(name)
                self.kept[name] = kept
        self.damaged &= self.house.wrong_files()

    def remember(self, name: str) -> None:
        """The revisions that were there are there as they were; what has come is of what was chosen once."""
        before, there = self.revisions.setdefault(name, {}), self.house.revisions(name)
        assert before.items() <= there.items()
        assert set(there.values()) <= self.tried
        self.revisions[name] = there
        now = self.house.context.catalogue.served(name)
        stack = self.stacks.get(name, now)
        assert now == stack or now[1:] in [stack[at:] for at in range(len(stack) + 1)], (name, stack, now)
        self.stacks[name] = now

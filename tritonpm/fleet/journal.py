"""What a roll-out has begun, written down before each step, so that whoever comes next can finish or undo it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonpm.catalogue import Source
from tritonpm.core.errors import BusyError
from tritonpm.core.types import Revision
from tritonpm.fleet.file import read, remove, write

_FILE = "rollout.json"
PROVING, MOVING, UNDOING = "proving", "moving", "undoing"


@dataclass(frozen=True)
class Rollout:
    """One roll-out. Before `moving` nobody can have noticed, from then on every server that counts has proved it."""

    context: str
    package: str
    phase: str
    servers: tuple[str, ...]  # that shall serve the package
    had: tuple[str, ...]  # those that served it before
    before: Source
    revision_before: Revision | None
    made: Source | None = None  # what it was changed to, once it was
    revision: Revision | None = None
    back: bool = False  # a roll-back, which shortens the stack of what served
    configs: Mapping[str, str] = field(default_factory=dict)  # the public model's in a store, by path, before


class RolloutJournal:
    """The entry of a roll-out that is on its way; `rollout` is how far it is."""

    def __init__(self, state: Path, rollout: Rollout) -> None:
        self.state, self.rollout = state, rollout

    def note(self, **changes: Any) -> None:
        """Write down how far it is. Raises StorageError."""
        self.rollout = replace(self.rollout, **changes)
        write(self.state / _FILE, self.rollout)

    def close(self) -> None:
        """It has ended, or was undone. Raises StorageError."""
        remove(self.state / _FILE)


def opened(state: Path) -> Rollout | None:
    """The roll-out that did not end. Raises StorageError."""
    return read(state / _FILE, Rollout)


def require_none(state: Path) -> None:
    """Raise BusyError where one did not end."""
    if rollout := opened(state):
        what = f"the roll-out of {rollout.package} to {rollout.context} has not ended"
        raise BusyError(
            what, do=f"wait for it, or, if it was killed, `tritonpm fleet sync --context {rollout.context}`"
        )

"""What a roll-out has begun, written down before each step, so that whoever comes next can finish or undo it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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


def opened(state: Path) -> Rollout | None:
    """The roll-out that did not end. Raises StorageError."""
    return read(state / _FILE, Rollout)


def note(state: Path, rollout: Rollout) -> Rollout:
    """Write down how far it is. Raises StorageError."""
    write(state / _FILE, rollout)
    return rollout


def close(state: Path) -> None:
    """It has ended, or was undone. Raises StorageError."""
    remove(state / _FILE)


def require_none(state: Path) -> None:
    """Raise BusyError where one did not end."""
    if rollout := opened(state):
        what = f"the roll-out of {rollout.package} to {rollout.context} has not ended"
        raise BusyError(
            what, do=f"wait for it, or, if it was killed, `tritonpm fleet sync --context {rollout.context}`"
        )

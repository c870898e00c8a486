"""What `tune` found last for a package, where it is still about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.tune.kept import kept

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.tune.pareto import Tuned


def folder(context: Context) -> Path:
    """Where searches keep what they measure."""
    return context.workspace.state / "tune"


def last_tuned(context: Context, record: Record) -> Tuned | None:
    """The last result for this content with these settings; None where there is none."""
    return kept(folder(context), record.package.name, record.package.digest, record.settings)

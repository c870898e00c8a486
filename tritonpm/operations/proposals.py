"""Changes that are shown before they are made, for programs that may look but not touch: `tritonpm mcp`.

A proposal lists what would be done; its digest is over that list and over what the packages are now. It is carried out
by who hands in the digest, so by who has seen the list, and only where the same would still be done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tritonpm.core.errors import BusyError
from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.declaration import Action, apply, plan
from tritonpm.operations.load import load
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.rollback import revision_to, rollback
from tritonpm.operations.set import change_live
from tritonpm.operations.unload import unload
from tritonpm.settings.settings import difference

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class DeclaredChange:
    """What `tritonpm apply` does with a file."""

    file: Path
    prune: bool = False
    update: bool = False


@dataclass(frozen=True)
class PackageChange:
    """One of load, unload, set and rollback: to a package; `changes` are settings, of a stage where one is named."""

    what: str
    package: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None
    revision: int | None = None


@dataclass(frozen=True)
class Proposal:
    """What would be done, in order; `digest` is what to provide to have it done."""

    actions: tuple[Action, ...]
    digest: str


def propose(context: Context, asked: DeclaredChange | PackageChange) -> Proposal:
    """What a change would do; nothing is written but what settings refer to. Raises what the change itself refuses."""
    if isinstance(asked, DeclaredChange):
        planned = plan(context, asked.file, prune=asked.prune, update=asked.update)
        actions, sources = planned.actions, planned.digests
    else:
        actions, sources = (_action(context, asked),), {}
    state = [_state(context, name) for name in sorted({action.package for action in actions})]
    content = msgspec.json.encode([asked, actions, sources, state], order="sorted", enc_hook=str)
    return Proposal(actions, hashlib.sha256(content).hexdigest())


def carry_out(context: Context, asked: DeclaredChange | PackageChange, digest: str) -> tuple[Action, ...]:
    """Do what was proposed. Raises BusyError where that is no longer what would be done, and what the change raises."""
    proposed = propose(context, asked)
    if proposed.digest != digest:
        raise BusyError("what was shown is no longer what would be done", do="look at a new plan")
    if isinstance(asked, DeclaredChange):
        return tuple(apply(context, asked.file, prune=asked.prune, update=asked.update))
    name = asked.package
    if asked.what == "load":
        load(context, name, probe=context.catalogue.get(name).probed)
    elif asked.what == "unload":
        unload(context, name)
    elif asked.what == "set":
        change_live(context, name, asked.changes, stage=asked.stage)
    else:
        rollback(context, name, asked.revision)
    return proposed.actions


def _action(context: Context, asked: PackageChange) -> Action:
    name, record = asked.package, context.catalogue.get(asked.package)
    if asked.what == "load":
        return Action("load", name, f"revision {wanted_revision(context, name).digest[:16]}")
    if asked.what == "unload":
        return Action("unload", name, "")
    if asked.what == "set":
        after = chosen_settings(context, record, asked.changes, stage=asked.stage)
        return Action("set", name, difference(record.settings, after) or "no change")
    number, _, _ = revision_to(context, name, asked.revision)
    return Action("rollback", name, f"to revision {number}")


def _state(context: Context, name: str) -> list[Any]:
    """What a package is now; nothing where there is none yet."""
    entry = next((entry for entry in context.catalogue.packages() if entry.name == name), None)
    if entry is None:
        return []
    record = context.catalogue.get(name)
    return [record.package.digest, record.settings, record.proved, record.status]

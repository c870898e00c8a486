"""What other distributions add, by entry points (docs/plugins.md): found when asked for, loaded when used.

A plugin is code that was installed beside tritonpm, so it is trusted as that is; no package can bring one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tritonpm.core.errors import RequirementError

CONVERTERS, SOURCES = "tritonpm.converters", "tritonpm.sources"
STORES, LINT_RULES = "tritonpm.stores", "tritonpm.lint_rules"


def plugins(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by their names."""
    return _found(group, tuple(sys.path))


@cache
def _found(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def loaded(point: EntryPoint) -> Any:
    """What an entry point names. Raises RequirementError where it cannot be imported."""
    try:
        return point.load()
    except Exception as error:  # of code that is not ours
        what = f"cannot be loaded ({type(error).__name__}: {error})"
        raise RequirementError(what, where=described(point), do="install it again, or uninstall it") from None


def described(point: EntryPoint) -> str:
    """A plugin for a sentence: its distribution with the version, and what it adds."""
    made_by = f"{point.dist.name} {point.dist.version}" if point.dist else "a plugin"
    return f"{made_by} ({point.group}: {point.name})"

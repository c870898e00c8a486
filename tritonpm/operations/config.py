"""`tritonpm config`: what holds for this user wherever they are, and who says it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonpm.core.errors import NotFoundError, ServerError, UnsafeError
from tritonpm.core.user_config import KEYS, config_file, read_config


@dataclass(frozen=True)
class ConfigValue:
    """A key: its value, "" for the usual one; `source` is the variable or the file that says it, "" for nobody.

    `in_force` is the value that holds, whoever says it: a few words where it is none.
    """

    key: str
    value: str
    source: str
    variable: str
    meaning: str
    in_force: str


def config() -> tuple[ConfigValue, ...]:
    """What holds for each key, and who says it. Raises UsageError."""
    file, listed = config_file(), []
    said = read_config(file)
    for key, (variable, meaning) in KEYS.items():
        value = os.environ.get(variable, "")
        of_file = key in said and value == said[key]  # `adopt` has made it the variable's
        source = str(file) if of_file else variable if value else ""
        listed.append(ConfigValue(key, value, source, variable, meaning, value or _usual(key)))
    return tuple(listed)


def _usual(key: str) -> str:
    """What holds where nobody says a key."""
    try:
        return _USUAL[key]() if key in _USUAL else "none"
    except (NotFoundError, ServerError, UnsafeError):
        return "none found"


def _workspace() -> str:
    from tritonpm.catalogue import find

    return str(find().root)


def _target() -> str:
    from tritonpm.catalogue import Workspace, find
    from tritonpm.operations.targets import of_workspace

    try:
        workspace = find()
    except (NotFoundError, UnsafeError):
        workspace = Workspace(config_file())  # which has chosen none
    return of_workspace(workspace).name


def _tritonserver() -> str:
    from tritonpm.triton.installation import find

    return str(find().binary)


def _backends() -> str:
    from tritonpm.triton.compiled import NAMES, why_not

    return ", ".join(f"{name}: {'python' if why_not(name) else 'compiled'}" for name in NAMES)


def _memory() -> str:
    from tritonpm.operations.on_demand import free_memory

    return f"{free_memory() >> 20}, what is free"


def _perf_analyzer() -> str:
    from tritonpm.perf.tool import find

    return str(find().binary)


_USUAL: Mapping[str, Callable[[], str]] = {
    "workspace": _workspace,
    "server": lambda: "the workspace's own",
    "target": _target,
    "tritonserver": _tritonserver,
    "backends": _backends,
    "memory_mb": _memory,
    "perf_analyzer": _perf_analyzer,
}

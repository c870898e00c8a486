"""`tritonpm config`: what holds for this user wherever they are, and who says it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tritonpm.core.user_config import KEYS, config_file, read_config


@dataclass(frozen=True)
class ConfigValue:
    """A key: its value, "" for the usual one; `source` is the variable or the file that says it, "" for nobody."""

    key: str
    value: str
    source: str
    variable: str
    meaning: str


def config() -> tuple[ConfigValue, ...]:
    """What holds for each key, and who says it. Raises UsageError."""
    file, listed = config_file(), []
    said = read_config(file)
    for key, (variable, meaning) in KEYS.items():
        value = os.environ.get(variable, "")
        of_file = key in said and value == said[key]  # `adopt` has made it the variable's
        source = str(file) if of_file else variable if value else ""
        listed.append(ConfigValue(key, value, source, variable, meaning))
    return tuple(listed)

"""Every setting of a package, and of single stages, as rows: the value, and whether it can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from tritonpm.settings.settings import Settings
from tritonpm.web.language import Language

_FILES = ("calibration", "plugins")  # digests, which say nothing to a person


@dataclass(frozen=True)
class SettingRow:
    """A setting. `stage` is "" for the package's; `own`: it was chosen, and can be unset; `listed`: it holds items."""

    name: str
    value: str
    stage: str
    own: bool
    listed: bool
    empty: object  # what a list, or a mapping, is with nothing in it


def setting_rows(settings: Settings, starting: Settings, say: Language) -> list[SettingRow]:
    """The package's own, in the order of their fields, then those that single stages have over them."""
    return list(_rows(settings, starting, say))


def _rows(settings: Settings, starting: Settings, say: Language) -> Iterator[SettingRow]:
    for field in fields(Settings):
        if field.name != "stages":
            value = getattr(settings, field.name)
            yield _row(field.name, value, "", value != getattr(starting, field.name), say)
    for stage, own in settings.stages.items():
        first = starting.stages.get(stage, {})
        for name, value in sorted(own.items()):
            yield _row(name, value, stage, name not in first or first[name] != value, say)


def _row(name: str, value: object, stage: str, own: bool, say: Language) -> SettingRow:
    empty: object = {} if isinstance(value, Mapping) else []
    listed = isinstance(value, Mapping | tuple | list) and bool(value)
    hidden = name in _FILES and listed and isinstance(value, tuple | list)
    text = say.plural("{count} file.", "{count} files.", len(value)) if hidden else in_words(value, say)  # type: ignore[arg-type]
    return SettingRow(name, text, stage, own, listed, empty)


def in_words(value: object, say: Language) -> str:
    """A value for a person."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or say("none")
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or say("none")
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    return say("the usual") if value in (None, "") else str(value)

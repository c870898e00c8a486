"""The YAML that a manifest may be written in: mappings, lists, strings, numbers, true, false, null.

No tags, anchors or aliases, no duplicate keys, no second document; numbers are finite and fit 64 bits. Plain scalars
mean what YAML 1.2 says (`no`, `1:30` and dates are strings). The parser's events are folded by a loop: depth is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tritonpm.core.errors import ManifestError
from tritonpm.core.units import human
from tritonpm.package.limits import Limits

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_MISSING = object()


@dataclass
class _Open:
    """A mapping or list whose end has not been read yet; `path` is its own."""

    path: str
    value: dict[str, Any] | list[Any]
    key: Any = field(default=_MISSING)


def load(raw: bytes, where: str, limits: Limits) -> Any:
    """The document as dicts, lists and scalars. Raises ManifestError, at the first problem with its path or line."""
    if len(raw) > limits.manifest:
        raise ManifestError([("", f"is longer than {human(limits.manifest)}")], where=where)
    try:
        return _fold(yaml.parse(raw.decode("utf-8-sig"), Loader=loader()), where, limits)
    except UnicodeDecodeError:
        raise ManifestError([("", "is not UTF-8")], where=where) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ManifestError([(f"line {line}", f"is not YAML ({error.problem})")], where=where) from None
    except yaml.YAMLError:
        raise ManifestError([("", "is not YAML (it holds control characters)")], where=where) from None


def loader() -> Any:
    """What YAML is read with: libyaml, ten times faster, where PyYAML has it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _fold(events: Iterator[Any], where: str, limits: Limits) -> Any:
    opened: list[_Open] = []
    root: Any = _MISSING
    for event in events:
        _refuse(event, where)
        if isinstance(event, yaml.DocumentStartEvent) and root is not _MISSING:
            raise _problem(event, "is a second document", where)
        if isinstance(event, yaml.CollectionEndEvent):
            value = opened.pop().value
            if not opened:
                root = value
            continue
        if not isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)):
            continue
        value = _value(event, where)
        if opened:
            _add(opened[-1], value, event, where)
        elif isinstance(event, yaml.ScalarEvent):
            root = value
        if isinstance(event, yaml.CollectionStartEvent):
            if len(opened) == limits.nesting:
                raise _problem(event, f"is nested more than {limits.nesting} deep", where)
            opened.append(_Open("", value))
    return None if root is _MISSING else root


def _refuse(event: Any, where: str) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _problem(event, "uses an anchor or alias (write the value out)", where)
    if getattr(event, "tag", None):
        raise _problem(event, f"uses a tag ({event.tag})", where)


def _add(parent: _Open, value: Any, event: Any, where: str) -> None:
    if isinstance(parent.value, list):
        parent.value.append(value)
    elif parent.key is _MISSING:
        if not isinstance(event, yaml.ScalarEvent) or not isinstance(value, (str, int)) or isinstance(value, bool):
            raise _problem(event, "is a key that is not a word", where)
        parent.key = str(event.value)
        if parent.key in parent.value:
            raise _problem(event, f"is a second {parent.key!r}", where)
    else:
        parent.value[parent.key] = value
        parent.key = _MISSING


def _value(event: Any, where: str) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    text = event.value
    if event.style not in (None, "") or not event.implicit[0]:
        return text
    if text.lower() in _WORDS and text in (text.lower(), text.capitalize(), text.upper()):
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return _bounded(event, int(text) if len(text) < 21 else 1 << 64, where)
    if _NOT_FINITE.fullmatch(text):
        raise _problem(event, f"is {text}, not a finite number", where)
    if _FLOAT.fullmatch(text):
        return _bounded(event, float(text), where)
    return text


class _Writer(yaml.SafeDumper):
    """PyYAML's, which leaves texts unquoted that it takes for no numbers and `load` does: 0E0."""


def _text(writer: _Writer, text: str) -> yaml.Node:
    other = text.lower() in _WORDS or any(kind.fullmatch(text) for kind in (_INT, _FLOAT, _NOT_FINITE))
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style='"' if other else None)


_Writer.add_representer(str, _text)


def dump(document: Any) -> str:
    """The YAML that `load` reads as the same document."""
    return str(yaml.dump(document, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120))


def _bounded(event: Any, number: float, where: str) -> float:
    if not -(1 << 63) <= number < 1 << 63:
        raise _problem(event, "is a number that does not fit 64 bits", where)
    return number


def _problem(event: Any, sentence: str, where: str) -> ManifestError:
    return ManifestError([(f"line {event.start_mark.line + 1}", sentence)], where=where)

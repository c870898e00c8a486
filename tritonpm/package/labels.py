"""Class names: one a line in a file, or in what exporters write into a model's metadata."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

from tritonpm.core.errors import PackageError
from tritonpm.core.units import MIB, human
from tritonpm.package.limits import Limits

KEYS = ("names", "labels", "classes", "class_names", "label_names")  # metadata keys that exporters use
_LONGEST_METADATA = MIB


def read_labels(path: Path, where: str, limits: Limits) -> tuple[str, ...]:
    """The labels of a file, one a line. Raises PackageError."""
    if path.stat().st_size > limits.labels:
        raise PackageError(f"is longer than {human(limits.labels)}", where=where, do="give one label a line")
    try:
        labels = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except UnicodeDecodeError:
        raise PackageError("is not UTF-8", where=where, do="save it as UTF-8, one label a line") from None
    if not labels or not all(label.isprintable() and label for label in labels):
        raise PackageError("holds no labels, or an empty or unprintable one", where=where, do="give one label a line")
    return labels


def from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The labels among a model's metadata; () where there are none that can be understood."""
    for key in KEYS:
        if (text := metadata.get(key)) and (labels := parsed(text)):
            return labels
    return ()


def parsed(text: str) -> tuple[str, ...]:
    """Labels from a JSON or Python list or mapping (Ultralytics writes one), from lines, or separated by commas."""
    text = text.strip()
    if len(text) > _LONGEST_METADATA:
        return ()
    if text[:1] in ("[", "{", "("):
        return _from_value(_literal(text))
    return _clean(text.splitlines() if "\n" in text else text.split(","))


def _literal(text: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _from_value(value: object) -> tuple[str, ...]:
    if isinstance(value, dict):
        try:
            value = [name for _, name in sorted((int(index), name) for index, name in value.items())]
        except (ValueError, TypeError):
            return ()
    return _clean(value) if isinstance(value, (list, tuple)) else ()


def _clean(values: list[object] | tuple[object, ...] | list[str]) -> tuple[str, ...]:
    labels = tuple(str(value).strip() for value in values)
    return labels if len(labels) > 1 and all(label and label.isprintable() for label in labels) else ()

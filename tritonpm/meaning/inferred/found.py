"""What a reader finds, and how to read what exporters write: text that stands for values."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tritonpm.core.types import Signature, Tensor

_LONGEST = 1 << 20  # characters of one value
BYTE = 1 / 255  # what a pixel is multiplied with where 255 becomes 1


@dataclass(frozen=True)
class Found:
    """Who wrote it, and fields as a manifest says them; {} is unknown."""

    who: str
    preprocess: Mapping[str, object] = field(default_factory=dict)
    decode: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def value_of(text: Any) -> Any:
    """A value that may be written as text: JSON, a Python literal, a fraction such as 1./255.; else the text."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return text
    if fraction := re.fullmatch(r"\s*([0-9.]+)\s*/\s*([0-9.]+)\s*", text):
        try:
            return float(fraction[1]) / float(fraction[2])
        except (ValueError, ZeroDivisionError):
            return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return text


def numbers(value: Any) -> list[float]:
    """A list of numbers, also of one, or written with spaces or commas; [] where it is none."""
    value = value_of(value)
    if isinstance(value, str):
        value = [value_of(part) for part in re.split(r"[\s,]+", value.strip("[]() "))]
    listed = list(value) if isinstance(value, list | tuple) else [value]
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in listed)
    return [float(one) for one in listed] if plain else []


def truth(value: Any) -> bool:
    """Whether it says yes: true, "True", "YES", 1."""
    return str(value).strip().lower() in ("true", "yes", "1")


def names(value: Any) -> tuple[str, ...]:
    """Class names by index: a list, or a mapping whose keys are 0, 1, 2, …; () where they are none."""
    value = value_of(value)
    if isinstance(value, Mapping):
        try:
            value = [value[key] for key in sorted(value, key=int)] if _numbered(value) else ()
        except (ValueError, TypeError):
            return ()
    if not isinstance(value, list | tuple):
        return ()
    return tuple(str(name) for name in value)


def _numbered(value: Mapping[Any, Any]) -> bool:
    return sorted(int(key) for key in value) == list(range(len(value)))


def picture_of(signature: Signature) -> tuple[Tensor, str, tuple[int, int] | None] | None:
    """The one input that a picture may go into, its layout, and its size (height, width) where that is fixed."""
    images = [tensor for tensor in signature.inputs if tensor.shape is not None and len(tensor.shape) == 4]
    if len(images) != 1:
        return None
    shape = images[0].shape or ()
    layout = "NHWC" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "NCHW"
    sides = shape[2:] if layout == "NCHW" else shape[1:3]
    fixed = (sides[0], sides[1]) if isinstance(sides[0], int) and isinstance(sides[1], int) else None
    return images[0], layout, fixed


def taken_by(signature: Signature) -> dict[str, object] | None:
    """The input that a picture goes into, its layout and type; None where no one input can be it."""
    picture = picture_of(signature)
    if picture is None:
        return None
    tensor, layout, _ = picture
    named: dict[str, object] = {"input": tensor.name} if len(signature.inputs) > 1 else {}
    return {**named, "layout": layout, "dtype": tensor.dtype}

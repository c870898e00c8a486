"""For which operators and types a version of ONNX Runtime has no kernel on a CPU, as measured with its wheel.

kernels.json: operator → version → binding of type variables ("T=int16", "T=float T1=uint32"; "*": all) → the first
version of ONNX Runtime that has a kernel; "" where none so far has one. What is not in it was found to load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

TYPES = (
    "float", "float16", "double", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool", "string", "complex64", "complex128", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
    "int4", "uint4", "float4e2m1", "int2", "uint2",
)  # fmt: skip
_PRODUCT = 2  # type variables of which every pair is known; of more, one at a time
_FACTS = Path(__file__).with_suffix(".json")


def bindings(schema: Any) -> Iterator[dict[str, str]]:
    """The bindings of an operator's type variables that are told apart."""
    rows = _taken(schema)
    if not rows or not all(rows.values()):
        return
    if len(rows) <= _PRODUCT:
        yield from (dict(zip(rows, chosen, strict=True)) for chosen in product(*rows.values()))
        return
    first = {name: kinds[0] for name, kinds in rows.items()}
    yield first
    yield from ({**first, name: kind} for name, kinds in rows.items() for kind in kinds[1:])


def without(schema: Any, binding: Mapping[str, str], onnxruntime: tuple[int, ...]) -> bool:
    """Whether that version has no kernel for an operator with its type variables bound so."""
    name = f"{schema.domain}:{schema.name}" if schema.domain else schema.name
    rows: dict[str, str] = _facts().get(name, {}).get(str(schema.since_version), {})
    every = ("*",) if len(_taken(schema)) <= _PRODUCT else ()  # else not every binding was measured
    first = next((rows[row] for row in (*every, key(binding)) if row in rows), None)
    return first is not None and not _has(first, onnxruntime)


def key(binding: Mapping[str, str]) -> str:
    """How a binding is written."""
    return " ".join(f"{name}={kind}" for name, kind in sorted(binding.items()))


def _taken(schema: Any) -> dict[str, list[str]]:
    return {
        row.type_param_str: [kind for kind in TYPES if f"tensor({kind})" in row.allowed_type_strs]
        for row in schema.type_constraints
    }


def _has(first: str, onnxruntime: tuple[int, ...]) -> bool:
    return bool(first) and tuple(map(int, first.split("."))) <= onnxruntime


@cache
def _facts() -> dict[str, dict[str, dict[str, str]]]:
    facts: dict[str, dict[str, dict[str, str]]] = json.loads(_FACTS.read_text(encoding="utf-8"))
    return facts

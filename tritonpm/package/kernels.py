"""What of ONNX's operators a version of ONNX Runtime does not load on a CPU, as measured with its wheel.

A node is known by its *facts*: "T=int16" (what a type variable is bound to), "+attn_mask" (an input that may be left
out, and is given), "layout=1" and "layout>0" (an attribute's value, said or not), "@axis" (an attribute that is said)
and "!num_heads" (one that is not).

kernels.json: operator → version → facts, of which a node that has them all is not loaded ("": any node) → by which
versions of ONNX Runtime: "..1.24.4" before that, "1.19.2.." from then on, ".." by none of those that were measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from tritonpm.core.types import Needs
from tritonpm.package.opsets import PREVIEW, Opsets

TYPES = (
    "float", "float16", "double", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool", "string", "complex64", "complex128", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
    "int4", "uint4", "float4e2m1", "int2", "uint2",
)  # fmt: skip
_FACTS = Path(__file__).with_suffix(".json")


def bindings(schema: Any, formals: Any) -> Iterator[dict[str, str]]:
    """Every way in which the type variables of these inputs and outputs of an operator may be bound to tensors."""
    used = {formal.type_str for formal in formals}
    rows = {
        row.type_param_str: [kind for kind in TYPES if f"tensor({kind})" in row.allowed_type_strs]
        for row in schema.type_constraints
        if row.type_param_str in used
    }
    yield from (dict(zip(rows, chosen, strict=True)) for chosen in product(*rows.values()))


def facts(node: Any, schema: Any, binding: Mapping[str, str]) -> frozenset[str]:
    """What tells a node from others of its operator, with its type variables bound so."""
    from onnx import helper

    given = {attribute.name: attribute for attribute in node.attribute}
    found = {f"{name}={kind}" for name, kind in binding.items()}
    named = zip(schema.inputs, node.input, strict=False)  # what follows the last formal is more of the same
    found |= {f"+{formal.name}" for formal, name in named if name and formal.option.name == "Optional"}
    found |= {f"{'@' if name in given else '!'}{name}" for name in {*schema.attributes, *given}}
    for name, described in schema.attributes.items():
        attribute = given.get(name, described.default_value)
        if attribute.type == attribute.INT:
            found |= {f"{name}={attribute.i}", *([f"{name}>0"] if attribute.i > 0 else [])}
        elif attribute.type == attribute.STRING:
            found.add(f"{name}={helper.get_attribute_value(attribute).decode(errors='replace')}")
    return frozenset(found)


@dataclass(frozen=True)
class Lack:
    """An operator of a model that some versions of ONNX Runtime do not load, and for which of its facts."""

    operator: str
    opset: int  # with which this version of it came; 0: no version is loaded
    facts: tuple[str, ...]
    span: str

    def concerns(self, onnxruntime: str) -> bool:
        """Whether that version is one of them."""
        return within(onnxruntime, self.span)

    def __str__(self) -> str:
        if not self.opset:
            return self.operator
        about = ", ".join(filter(None, (f"opset {self.opset}", words(self.facts))))
        return f"{self.operator} ({about})"


def lacks(model: Any) -> Iterator[Lack]:
    """What of an ONNX model's operators is not loaded by some version; of its functions' bodies nothing is said.

    The ModelProto needs no weights.
    """
    own = {function.name for function in model.functions}
    graph = type(model)(ir_version=model.ir_version, opset_import=model.opset_import, graph=model.graph)
    opsets = Opsets.of(graph, Needs())  # without functions: thirty that call one another twice are a billion nodes
    for node in opsets.nodes():
        if str(node.domain).startswith(PREVIEW):
            yield Lack(f"{node.op_type} of {node.domain}", 0, (), "..")
        elif node.op_type not in own and (schema := opsets.new(node)) is not None:
            yield from of_node(node, schema, opsets.binding(node, schema))


def of_node(node: Any, schema: Any, binding: Mapping[str, str]) -> Iterator[Lack]:
    """The same of one node, with its type variables bound so."""
    name = f"{schema.domain}:{schema.name}" if schema.domain else schema.name
    rows = _facts().get(name, {}).get(str(schema.since_version), {})
    known = facts(node, schema, binding) if rows else frozenset()
    for row, span in rows.items():
        if known.issuperset(row.split()):
            yield Lack(schema.name, schema.since_version, tuple(row.split()), span)


def words(row: tuple[str, ...]) -> str:
    """What a sentence says of these facts: "bfloat16, layout > 0, with attn_mask"."""
    return ", ".join(_word(fact) for fact in row)


def _word(fact: str) -> str:
    if fact[0] in "+@":
        return f"with {fact[1:]}"
    if fact[0] == "!":
        return f"without {fact[1:]}"
    name, _, kind = fact.partition("=")
    return kind if kind in TYPES and name[:1].isupper() else fact.replace(">0", " > 0").replace("=", " = ")


def within(version: str, span: str) -> bool:
    """Whether a version is one of those that a row of kernels.json names."""
    since, _, until = span.partition("..")
    return _numbers(since) <= _numbers(version) and (not until or _numbers(version) < _numbers(until))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()


@cache
def _facts() -> dict[str, dict[str, dict[str, str]]]:
    facts: dict[str, dict[str, dict[str, str]]] = json.loads(_FACTS.read_text(encoding="utf-8"))
    return facts

"""Operators on types that the older opset does not take, or the runtime has no kernel for, run in wider ones.

Between casts that change nothing: a wider type holds every value of the narrower one; integers that grow out of that
wrap around when they are cast back, as they would have done; and halves that are added, multiplied, divided in floats
are rounded to the same halves. Where a type is what an operator is about, as of one that quantises, none is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from tritonpm.package import kernels
from tritonpm.package.opsets import Opsets, graphs, settled, variable_of

_WIDER = {
    "float16": ("float", "double"), "bfloat16": ("float", "double"), "float": ("double",),
    "int8": ("int16", "int32", "int64"), "int16": ("int32", "int64"), "int32": ("int64",),
    "uint8": ("uint16", "int32", "uint32", "int64", "uint64"), "uint16": ("int32", "uint32", "int64", "uint64"),
    "uint32": ("int64", "uint64"), "bool": ("uint8", "int32", "int64"),
}  # fmt: skip
# What only moves values, for which any type will do that holds them, …
_MOVING = {"CenterCropPad", "DepthToSpace", "OneHot", "Pad", "SpaceToDepth", "Trilu", "Unique", "Where"}
_HOLDS = {
    **dict.fromkeys(("int8", "int16", "uint8", "uint16", "bool"), ("float", "double")),
    **dict.fromkeys(("int32", "uint32"), ("double",)),
}
# … and what gives the same bits whether or not the highest one is a sign.
_SIGNLESS = {"Add", "CumSum", "Einsum", "Equal", "Mul", "ReduceProd", "ReduceSum", "Sub", "Sum", *_MOVING} - {"Unique"}
_DRAWN = ("Bernoulli", "EyeLike", "Multinomial", "Random")  # an attribute says their type
_TYPED = ("BitCast", "Cast", "DequantizeLinear", "DynamicQuantizeLinear", "QLinear", "QuantizeLinear")  # but for halves
_HALVES = ("float16", "bfloat16")


def widen(opsets: Opsets, onnxruntime: str) -> set[str]:
    """Put operators between casts where that version, "" for any, then takes them. The names of those."""
    done = set()
    for graph in list(graphs(opsets.model.graph)):
        nodes = []
        for node in graph.node:
            wider = _wider(opsets, node, onnxruntime)
            nodes += list(_between_casts(opsets, node, wider)) if wider else [node]
            done |= {node.op_type} if wider else set()
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return done


def is_taken(opsets: Opsets, node: Any, onnxruntime: str) -> bool:
    """Whether the older version of a node's operator takes its types, and that version of the runtime has a kernel."""
    old, new = opsets.old(node), opsets.new(node)
    return not (old and new) or _takes(opsets, node, opsets.binding(node, old), onnxruntime)


def may_be_taken(opsets: Opsets, node: Any, onnxruntime: str) -> bool:
    """The same, in a wider type if not in its own."""
    return opsets.says_the_same(node) and (
        is_taken(opsets, node, onnxruntime) or bool(_wider(opsets, node, onnxruntime))
    )


def _takes(opsets: Opsets, node: Any, binding: dict[str, str], onnxruntime: str) -> bool:
    old = opsets.old(node)
    allowed = {row.type_param_str: row.allowed_type_strs for row in old.type_constraints}
    if any(f"tensor({kind})" not in allowed.get(variable, (variable,)) for variable, kind in binding.items()):
        return False
    if not onnxruntime:
        return True
    return not any(
        lack.concerns(onnxruntime) for lack in kernels.of_node(settled(node, old, opsets.new(node)), old, binding)
    )


def _wider(opsets: Opsets, node: Any, onnxruntime: str) -> dict[str, tuple[str, str]]:
    """Type variable → its type and the wider one, as few and as near as will do; {} where none must or can be wider."""
    old = opsets.old(node)
    if old is None or opsets.new(node) is None or node.op_type.startswith(_DRAWN) or not opsets.says_the_same(node):
        return {}
    own = opsets.binding(node, old)
    if not own or _takes(opsets, node, own, onnxruntime):
        return {}
    choices = [(kind, *_wider_kinds(node.op_type, kind)) for kind in own.values()]
    ways = sorted(product(*(range(len(kinds)) for kinds in choices)), key=lambda way: _strangeness(own, choices, way))
    for way in ways[1:]:
        chosen = {name: kinds[place] for name, kinds, place in zip(own, choices, way, strict=True)}
        if _takes(opsets, node, chosen, onnxruntime):
            return {name: (own[name], kind) for name, kind in chosen.items() if kind != own[name]}
    return {}


def _strangeness(own: dict[str, str], choices: list[tuple[str, ...]], way: tuple[int, ...]) -> tuple[int, ...]:
    """What is the less, the rather it is tried: types torn apart, how many become others, and by how much."""
    changes = {(kind, kinds[place]) for kind, kinds, place in zip(own.values(), choices, way, strict=True)}
    return len(changes) - len(set(own.values())), sum(map(bool, way)), sum(way)


def _wider_kinds(operator: str, kind: str) -> tuple[str, ...]:
    if operator.startswith(_TYPED) and kind not in _HALVES:
        return ()
    more = _HOLDS.get(kind, ()) if operator in _MOVING else ()
    return (*_WIDER.get(kind, ()), *more, *(("int64",) if kind == "uint64" and operator in _SIGNLESS else ()))


def _between_casts(opsets: Opsets, node: Any, wider: dict[str, tuple[str, str]]) -> Iterator[Any]:
    from onnx import TensorProto, helper

    old, after = opsets.old(node), []
    stem = next(filter(None, node.output), node.op_type)
    for place, name in enumerate(node.input):
        if name and (variable := variable_of(old.inputs, place)) in wider:
            node.input[place] = f"{stem}_wider_{place}"
            to = TensorProto.DataType.Value(wider[variable][1].upper())
            yield helper.make_node("Cast", [name], [node.input[place]], to=to)
    for place, name in enumerate(node.output):
        if name and (variable := variable_of(old.outputs, place)) in wider:
            node.output[place] = f"{name}_wider"
            own = TensorProto.DataType.Value(wider[variable][0].upper())
            after.append(helper.make_node("Cast", [node.output[place]], [name], to=own))
    yield node
    yield from after

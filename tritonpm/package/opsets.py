"""What ONNX's schemas say of a model's operators: which are newer than an opset, and whether an older version does.

Source: onnx.defs; the operators' own changelog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tritonpm.core.types import Needs

ONNX = ("", "ai.onnx")
ML = "ai.onnx.ml"
PREVIEW = "ai.onnx.preview"  # of which no runtime has anything


def limit(domain: str, limits: Needs) -> int:
    """The newest opset of a domain of ONNX's own."""
    return limits.opset if domain in ONNX else limits.ml if domain == ML else 0


def schema(operator: str, opset: int, domain: str) -> Any:
    """Of an operator in that opset; None where it has none, or is no text."""
    from onnx import defs

    try:
        return defs.get_schema(operator, opset, "" if domain in ONNX else domain)
    except (defs.SchemaError, TypeError):  # what is not UTF-8 comes as bytes
        return None


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from graphs(inner)


@dataclass
class Opsets:
    """A model's operators against the newest opsets that are allowed."""

    model: Any
    limits: Needs
    imported: dict[str, int] = field(default_factory=dict)
    protos: dict[str, Any] = field(default_factory=dict)  # tensor → its type and shape, as far as ONNX infers them

    @classmethod
    def of(cls, model: Any, limits: Needs) -> Opsets:
        """With the types that ONNX infers."""
        imported = {("" if opset.domain in ONNX else opset.domain): opset.version for opset in model.opset_import}
        return cls(model, limits, imported, _protos(model))

    def new(self, node: Any) -> Any:
        """The schema that a node was written for; None for an operator that is not ONNX's."""
        domain = "" if node.domain in ONNX else node.domain
        return schema(node.op_type, self.imported.get(domain, 0), domain) if domain in ("", ML, PREVIEW) else None

    def old(self, node: Any) -> Any:
        """The schema that it is to be of; None where the operator is not there yet."""
        found = schema(node.op_type, limit(node.domain, self.limits), node.domain)
        return None if found is None or found.deprecated else found

    def binding(self, node: Any, version: Any) -> dict[str, str]:
        """The types that the type variables of that version of a node's operator are bound to, as far as known.

        Of an input or output that takes but one type that type stands for the variable.
        """
        found = {}
        for formals, names in ((version.inputs, node.input), (version.outputs, node.output)):
            for place, name in enumerate(names):
                if (variable := variable_of(formals, place)) and (own := self.type_of(name)):
                    found[variable] = own
        return found

    def definition(self, node: Any) -> Any:
        """What ONNX defines a node's operator to be, as a function; None where it does not, or not for these types."""
        import onnx

        new, opset = self.new(node), self.imported.get("" if node.domain in ONNX else node.domain, 0)
        if new is None:
            return None
        if version := max((v for v in new.function_opset_versions if v <= opset), default=0):
            text = new.get_function_with_opset_version(version)
        elif version := max((v for v in new.context_dependent_function_opset_versions if v <= opset), default=0):
            kinds = [self.protos.get(name, onnx.TypeProto()) for name in node.input]
            text = new.get_context_dependent_function_with_opset_version(
                version, node.SerializeToString(), [kind.SerializeToString() for kind in kinds]
            )
        else:
            return None
        return onnx.FunctionProto.FromString(text) if text else None

    def type_of(self, name: str) -> str:
        """What schemas call a tensor's type: "float", "int64"; "" where it is not known, or is no tensor's."""
        from onnx import TensorProto

        elem = self.protos[name].tensor_type.elem_type if name in self.protos else 0
        return TensorProto.DataType.Name(elem).lower() if elem in TensorProto.DataType.values()[1:] else ""

    def newer(self) -> list[Any]:
        """The nodes whose operator has a newer version than is allowed."""
        new = ((node, self.new(node)) for node in self.nodes())
        return [node for node, own in new if own and own.since_version > limit(node.domain, self.limits)]

    def nodes(self) -> Iterator[Any]:
        """Every node, also of the graphs inside of others."""
        return (node for graph in graphs(self.model.graph) for node in graph.node)

    def says_the_same(self, node: Any) -> bool:
        """Whether the older version of the operator knows all that the node says; its types apart."""
        old, new = self.old(node), self.new(node)
        if old is None:
            return False
        given = {attribute.name: attribute for attribute in node.attribute}
        known = all(name in old.attributes or _is_default(given[name], new) for name in given)
        fits = (
            old.min_input <= len(node.input) <= old.max_input and old.min_output <= len(node.output) <= old.max_output
        )
        required = all(name in given for name, attribute in old.attributes.items() if attribute.required)
        optional = all(name or _may_be_left_out(old.inputs, place) for place, name in enumerate(node.input))
        return known and fits and required and optional


def settle(node: Any, old: Any, new: Any) -> None:
    """Say what the newer version takes unsaid where the older one takes something else, and no more than that knows."""
    given = {attribute.name for attribute in node.attribute}
    for name, described in new.attributes.items():
        before = old.attributes.get(name)
        if before is not None and name not in given and described.default_value != before.default_value:
            node.attribute.append(described.default_value)
    for attribute in [attribute for attribute in node.attribute if attribute.name not in old.attributes]:
        node.attribute.remove(attribute)


def settled(node: Any, old: Any, new: Any) -> Any:
    """A node as `settle` leaves it; the node itself where there is nothing to settle."""
    if old.since_version == new.since_version:
        return node
    copy = type(node).FromString(node.SerializeToString())
    settle(copy, old, new)
    return copy


def say_defaults(node: Any, new: Any) -> None:
    """Give a node the attributes that its operator takes unsaid, for who knows only what is said."""
    given = {attribute.name for attribute in node.attribute}
    unsaid = [row.default_value for name, row in new.attributes.items() if name not in given]
    node.attribute.extend(value for value in unsaid if value.name)


def variable_of(formals: Any, place: int) -> str:
    """The type variable of an input or output."""
    formal = _formal(formals, place)
    return formal.type_str if formal else ""


def _formal(formals: Any, place: int) -> Any:
    """The description of an input or output; the last one stands for all that follow."""
    return formals[min(place, len(formals) - 1)] if formals else None


def _may_be_left_out(formals: Any, place: int) -> bool:
    formal = _formal(formals, place)
    return formal is not None and formal.option.name == "Optional"


def _is_default(attribute: Any, described: Any) -> bool:
    """Whether a node says no more than what its operator takes without it."""
    from onnx import helper

    known = described.attributes.get(attribute.name)
    if known is None or not known.default_value.name:
        return False
    return bool(helper.get_attribute_value(attribute) == helper.get_attribute_value(known.default_value))


def _protos(model: Any) -> dict[str, Any]:
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception:  # of C++, without a base; a type that is not known is not looked at
        model = model
    found = {}
    for graph in graphs(model.graph):
        found.update({value.name: value.type for value in (*graph.input, *graph.output, *graph.value_info)})
        for tensor in graph.initializer:
            found[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
    return found

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
# What an operator that does not take a type may be given in its place: it holds all that the type does.
_WIDER = {
    "float16": ("float", "double"), "bfloat16": ("float", "double"), "float": ("double",),
    "int8": ("int16", "int32", "int64"), "int16": ("int32", "int64"), "int32": ("int64",),
    "uint8": ("uint16", "uint32", "uint64"), "uint16": ("uint32", "uint64"), "uint32": ("uint64",),
}  # fmt: skip


def limit(domain: str, limits: Needs) -> int:
    """The newest opset of a domain of ONNX's own."""
    return limits.opset if domain in ONNX else limits.ml


def schema(operator: str, opset: int, domain: str) -> Any:
    """Of an operator in that opset; None where it has none."""
    from onnx import defs

    try:
        return defs.get_schema(operator, opset, "" if domain in ONNX else domain)
    except defs.SchemaError:
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
        return schema(node.op_type, self.imported.get(domain, 0), domain) if domain in ("", ML) else None

    def old(self, node: Any) -> Any:
        """The schema that it is to be of; None where the operator is not there yet."""
        found = schema(node.op_type, limit(node.domain, self.limits), node.domain)
        return None if found is None or found.deprecated else found

    def binding(self, node: Any) -> dict[str, str]:
        """The types that the type variables of a node's operator are bound to, as far as they are known."""
        new, found = self.new(node), {}
        variables = {row.type_param_str for row in new.type_constraints}
        for formals, names in ((new.inputs, node.input), (new.outputs, node.output)):
            for place, name in enumerate(names):
                variable = variable_of(formals, place)
                if variable in variables and (own := self.type_of(name)):
                    found[variable] = own
        return found

    def definition(self, node: Any) -> Any:
        """What ONNX defines a node's operator to be, as a function; None where it does not, or not for these types."""
        import onnx

        new, opset = self.new(node), self.imported.get("" if node.domain in ONNX else node.domain, 0)
        if new.has_function:
            text = new.get_function_with_opset_version(max(v for v in new.function_opset_versions if v <= opset))
        elif new.has_context_dependent_function:
            versions = [v for v in new.context_dependent_function_opset_versions if v <= opset]
            kinds = [self.protos.get(name, onnx.TypeProto()) for name in node.input]
            text = new.get_context_dependent_function_with_opset_version(
                max(versions), node.SerializeToString(), [kind.SerializeToString() for kind in kinds]
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

    def untaken(self, node: Any) -> dict[str, str]:
        """The type variables of the older version that are bound to types which it does not take."""
        old, found = self.old(node), {}
        constraints = {row.type_param_str: row.allowed_type_strs for row in old.type_constraints}
        for formals, names in ((old.inputs, node.input), (old.outputs, node.output)):
            for place, name in enumerate(names):
                formal = _formal(formals, place)
                own = self.type_of(name)
                if formal and own and f"tensor({own})" not in constraints.get(formal.type_str, (formal.type_str,)):
                    found[formal.type_str] = own
        return found

    def wider(self, node: Any, variable: str, own: str) -> str:
        """A wider type that the older version takes for a variable; "" where there is none."""
        rows = {row.type_param_str: row.allowed_type_strs for row in self.old(node).type_constraints}
        return next((kind for kind in _WIDER.get(own, ()) if f"tensor({kind})" in rows.get(variable, ())), "")


def settle(node: Any, old: Any, new: Any) -> None:
    """Say what the newer version takes unsaid where the older one takes something else, and no more than that knows."""
    given = {attribute.name for attribute in node.attribute}
    for name, described in new.attributes.items():
        before = old.attributes.get(name)
        if before is not None and name not in given and described.default_value != before.default_value:
            node.attribute.append(described.default_value)
    for attribute in [attribute for attribute in node.attribute if attribute.name not in old.attributes]:
        node.attribute.remove(attribute)


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

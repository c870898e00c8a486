"""What operators are in terms of others, where ONNX says so in words only: for runtimes that have no such operator, or
not of that type or layout. Each gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tritonpm.package.opsets import Opsets

_SIGNED = ("int8", "int16", "int32", "int64")
_FLOATS = ("float16", "bfloat16", "float", "double")
_SAME_WIDTH = ({"int8", "uint8"}, {"int16", "uint16"}, {"int32", "uint32"}, {"int64", "uint64"})
_LOWEST = -(2**63)


def definition(opsets: Opsets, node: Any) -> Any:
    """A node's operator as a function: ours, else ONNX's own; None where neither knows one for its types."""
    ours = _DEFINED.get(node.op_type) if not node.domain and opsets.new(node) is not None else None
    return (ours(opsets, node) if ours else None) or opsets.definition(node)


def means_more(opsets: Opsets, node: Any) -> bool:
    """Whether the older version of a node's operator takes what it says, and does not do it."""
    return node.op_type == "Mod" and _mod(opsets, node) is not None


def _function(opsets: Opsets, node: Any, body: str) -> Any:
    """Of a body in ONNX's textual syntax, in which `x`, `y` and `z` are the inputs, and `r` is the result."""
    from onnx import parser

    inputs = ", ".join("xyz"[: len(node.input)])
    outputs = ", ".join(["r", *(f"r{place}" for place in range(1, len(node.output)))])
    head = f'<opset_import: ["": {opsets.imported[""]}], domain: "ours">'
    return parser.parse_function(f"{head} f ({inputs}) => ({outputs}) {{ {body} }}")


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(own) for own in node.attribute if own.name == name), default)


def _bit_shift(opsets: Opsets, node: Any) -> Any:
    """Of signed integers: by that of unsigned ones; to the right a negative one as the complement of its complement."""
    kind = opsets.type_of(node.input[0])
    if kind not in _SIGNED:
        return None
    bits = kind.removeprefix("int")
    head = f"""
    zero = Constant<value = int64 {{0}}>() all = Constant<value = int64 {{{bits}}}>()
    most = Constant<value = int64 {{63}}>() a = Cast<to = 7>(x) s = Cast<to = 7>(y) less = Less(s, zero)
    more = GreaterOrEqual(s, all) out = Or(less, more)
    shift = Where(out, most, s) by = Cast<to = 13>(shift)
    """
    if _attribute(node, "direction", b"") == b"LEFT":
        body = """u = Cast<to = 13>(a) moved = BitShift<direction = "LEFT">(u, by) back = Cast<to = 7>(moved)
        kept = Where(out, zero, back) r = CastLike(kept, x)"""
    else:
        body = """ones = Constant<value = int64 {-1}>() negative = Less(a, zero) b = Sub(ones, a)
        c = Where(negative, b, a) u = Cast<to = 13>(c) moved = BitShift<direction = "RIGHT">(u, by)
        d = Cast<to = 7>(moved) e = Sub(ones, d)
        signed = Where(negative, e, d) r = CastLike(signed, x)"""
    return _function(opsets, node, head + body)


def _mod(opsets: Opsets, node: Any) -> Any:
    """Of floats with the sign of the divisor: that with the sign of the dividend, and the divisor where they differ."""
    if opsets.type_of(node.input[0]) not in _FLOATS or _attribute(node, "fmod", 0):
        return None
    body = """
    m = Mod<fmod = 1>(x, y) none = Constant<value = float {0.0}>() zero = CastLike(none, m) minus = Neg(zero)
    negative = Less(y, zero) below = Less(m, zero) differ = Xor(negative, below) nothing = Equal(m, zero)
    sum = Add(m, y) moved = Where(differ, sum, m) null = Where(negative, minus, zero) r = Where(nothing, null, moved)
    """
    return _function(opsets, node, body)


def _cum_prod(opsets: Opsets, node: Any) -> Any:
    """A scan over the middle one of three axes, into which all are gathered."""
    kind = opsets.type_of(node.input[0])
    out = "state" if _attribute(node, "exclusive", 0) else "next"
    back = 1 if _attribute(node, "reverse", 0) else 0
    body = f"""
    shape = Shape(x) zero = Constant<value = int64[1] {{0}}>() one = Constant<value = int64[1] {{1}}>()
    rank = Shape(shape) wide = Cast<to = 7>(y) given = Reshape(wide, one) negative = Less(given, zero)
    other = Add(given, rank)
    at = Where(negative, other, given) after = Add(at, one) front = Slice(shape, zero, at)
    own = Slice(shape, at, after)
    behind = Slice(shape, after, rank) fronts = Concat<axis = 0>(one, front) behinds = Concat<axis = 0>(one, behind)
    first = ReduceProd<keepdims = 1>(fronts) last = ReduceProd<keepdims = 1>(behinds)
    three = Concat<axis = 0>(first, own, last) cube = Reshape(x, three) two = Concat<axis = 0>(first, last)
    unit = Constant<value = float {{1.0}}>() start = CastLike(unit, x) states = Expand(start, two)
    end, steps = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
        scan_input_directions = [{back}], scan_output_directions = [{back}],
        body = step ({kind}[p, q] state, {kind}[p, q] factor)
        => ({kind}[p, q] next, {kind}[p, q] seen) {{ next = Mul(state, factor)
        seen = Identity({out}) }}>(states, cube)
    r = Reshape(steps, shape)
    """
    return _function(opsets, node, body) if kind else None


def _tensor_scatter(opsets: Opsets, node: Any) -> Any:
    """The places that are written, for each sample and step, in the shape of what is written there."""
    axis = _attribute(node, "axis", -2)
    circular = _attribute(node, "mode", b"linear") == b"circular"
    written = len(node.input) > len("xy") and node.input[2]
    places = "Mod(sum, length)" if circular else "Identity(sum)"
    body = f"""
    shape = Shape(y) rank = Shape(shape) one = Constant<value = int64[1] {{1}}>()
    minus = Constant<value = int64[1] {{-1}}>() zero = Constant<value = int64[1] {{0}}>()
    axis = Constant<value = int64[1] {{{axis}}}>()
    ones = Expand(one, rank) start = Constant<value = int64 {{0}}>() step = Constant<value = int64 {{1}}>()
    single = Constant<value = int64 {{{axis}}}>()
    count = Gather(shape, single) steps = Range(start, count, step) along = ScatterElements(ones, axis, minus)
    offsets = Reshape(steps, along) samples = ScatterElements(ones, zero, minus)
    first = {"Reshape(z, samples)" if written else "Identity(zero)"} sum = Add(first, offsets)
    whole = Shape(x) length = Gather(whole, single) at = {places} places = Expand(at, shape)
    r = ScatterElements<axis = {axis}>(x, places, y)
    """
    return _function(opsets, node, body)


def _bit_cast(opsets: Opsets, node: Any) -> Any:
    """Between integers of one width, which wrap around in a Cast; of bool, which becomes 0 or 1."""
    from onnx import TensorProto

    to = _attribute(node, "to", 0)
    own = opsets.type_of(node.input[0]).replace("bool", "uint8")
    if not any({own, TensorProto.DataType.Name(to).lower()} <= same for same in _SAME_WIDTH):
        return None
    return _function(opsets, node, f"r = Cast<to = {to}>(x)")


def _unsigned_order(opsets: Opsets, node: Any) -> Any:
    """Of 64 bits without a sign: of those with one, moved by the half of all."""
    if opsets.type_of(node.input[0]) != "uint64":
        return None
    moved = f"low = Constant<value = int64 {{{_LOWEST}}}>() a = Cast<to = 7>(x) c = Add(a, low)"
    if node.op_type != "TopK":
        return _function(opsets, node, f"{moved} b = Cast<to = 7>(y) d = Add(b, low) r = {node.op_type}(c, d)")
    names = ("axis", "largest", "sorted")
    said = ", ".join(f"{name} = {_attribute(node, name, -1 if name == 'axis' else 1)}" for name in names)
    found = "v, r1" if len(node.output) > 1 else "v"
    return _function(opsets, node, f"{moved} {found} = TopK<{said}>(c, y) w = Add(v, low) r = Cast<to = 13>(w)")


def _recurrent(opsets: Opsets, node: Any) -> Any:
    """With the batch before the steps: the other way round, between transpositions."""
    from onnx import helper

    if not _attribute(node, "layout", 0):
        return None
    inputs = [f"i{place}" for place in range(len(node.input))]
    given, turned, nodes = dict(zip(inputs, node.input, strict=True)), {"i0", "i5", "i6"}, []
    names = [name if given[name] else "" for name in inputs]
    for name in sorted(turned & set(filter(None, names))):  # the inputs, and the states that it begins with
        nodes.append(helper.make_node("Transpose", [name], [f"{name}_steps"], perm=[1, 0, 2]))
        names[inputs.index(name)] = f"{name}_steps"
    own = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    outputs = [f"o{place}" if name else "" for place, name in enumerate(node.output)]
    results = [name and f"{name}_steps" for name in outputs]
    nodes.append(helper.make_node(node.op_type, names, results, **{**own, "layout": 0}))
    for place, name in enumerate(outputs):
        if name:
            perm = [1, 0, 2] if place else [2, 0, 1, 3]
            nodes.append(helper.make_node("Transpose", [results[place]], [name], perm=perm))
    formal = [f"o{place}" for place in range(len(outputs))]
    return helper.make_function("ours", "f", inputs, formal, nodes, [helper.make_opsetid("", opsets.imported[""])])


_DEFINED: dict[str, Callable[[Opsets, Any], Any]] = {
    "BitCast": _bit_cast,
    "BitShift": _bit_shift,
    "CumProd": _cum_prod,
    "GRU": _recurrent,
    "Greater": _unsigned_order,
    "LSTM": _recurrent,
    "Less": _unsigned_order,
    "Mod": _mod,
    "RNN": _recurrent,
    "TensorScatter": _tensor_scatter,
    "TopK": _unsigned_order,
}

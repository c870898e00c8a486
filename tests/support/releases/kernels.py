"""What the ONNX Runtime of this environment does not load of ONNX's operators: nodes asked of it one at a time.

`python -m tests.support.releases.kernels OUT` with a release's own wheel on the path; OUT is a JSON of operator → version →
[facts of a node, whether it is loaded: null where that may be for what was made up]. `… kernels --join FOLDER` writes package/kernels.json of all that lie in a folder,
each named for its version.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

from onnx import TensorProto, defs, helper

from tritonpm.package import kernels
from tritonpm.package.kernels import bindings, facts
from tritonpm.package.opsets import ML

_VALUES: dict[str, Any] = {"INT": 1, "INTS": [1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": "x", "STRINGS": ["x"]}
_BYTES = ("nodes_modes",)  # attributes that are tensors of bytes; others are of the type of the first input
_COUNTS = (1, 2, 4)  # of an integer attribute: where each is refused it is not about the number
_CHOICES = {  # what an attribute may say instead of what it says unsaid
    "DCR": ("CRD",),
    "MAX": ("L1", "L2"),
    "NOTSET": ("SAME_LOWER", "SAME_UPPER", "VALID"),
    "avg": ("max",),
    "bilinear": ("bicubic", "nearest"),
    "constant": ("edge", "reflect", "wrap"),
    "forward": ("bidirectional", "reverse"),
    "half_pixel": ("align_corners", "asymmetric", "half_pixel_symmetric", "pytorch_half_pixel", "tf_crop_and_resize"),
    "linear": ("cubic", "nearest"),
    "mean": ("none", "sum"),
    "nearest": ("cubic", "linear"),
    "none": ("add", "max", "min", "mul", "silu", "tanh"),
    "round_prefer_floor": ("ceil", "floor", "round_prefer_ceil"),
    "stretch": ("not_larger", "not_smaller"),
    "zeros": ("border", "reflection"),
}
_DTYPE = {"Cast": "to", "BitCast": "to"} | dict.fromkeys(
    ("EyeLike", "RandomUniformLike", "RandomNormalLike", "Bernoulli"), "dtype"
)
_NEEDED: dict[str, dict[str, Any]] = {  # attributes without which a kernel does not start
    "BitShift": {"direction": "LEFT"},
    "Imputer": {"imputed_value_floats": [1.0], "replaced_value_float": 0.0},
    "LinearRegressor": {"coefficients": [1.0]},
    "MaxRoiPool": {"pooled_shape": [1, 1]},
    "SVMRegressor": {
        "coefficients": [1.0], "kernel_params": [0.0] * 3, "n_supports": 1, "rho": [1.0], "support_vectors": [1.0],
    },
    "TreeEnsembleClassifier": {
        "class_ids": [0], "class_nodeids": [0], "class_treeids": [0], "class_weights": [1.0], "classlabels_int64s": [0],
        "nodes_falsenodeids": [0], "nodes_featureids": [0], "nodes_modes": ["LEAF"], "nodes_nodeids": [0],
        "nodes_treeids": [0], "nodes_truenodeids": [0], "nodes_values": [0.0],
    },
}  # fmt: skip
_MACHINE = "ocale"  # in a refusal: of what the machine has not
_LACKING = ("an implementation for", "find kernel", "Type Error", "Unrecognized attribute", "not supported")
_OF_TYPES = {"dtype", "output_datatype", "output_dtype", "precision", "softmax_precision", "stash_type", "to"}
_IR = 8  # which every version that is measured loads
_MOST = 3  # facts of a row

Observation = tuple[frozenset[str], bool | None]  # the facts of a node, and whether it is loaded; None: made up badly?


@dataclass(frozen=True)
class Usage:
    """One way to use an operator: with an input that may be left out, with attributes."""

    optional: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


class NotMadeError(Exception):
    """A node of this operator cannot be made up: it needs a graph, or a type that is no tensor's."""


def observed(schema: Any) -> Iterator[Observation]:
    """An operator used in each way with each binding that its plain use is loaded with. Raises NotMadeError."""
    plain, loading = Usage(), list[dict[str, str]]()
    for plain in (Usage(), *_integers(schema), *_optional(schema)):
        if loading := [binding for binding in _bindings(schema, plain) if not _refusal(schema, plain, binding)]:
            break
    else:
        plain = Usage()
    for binding in _bindings(schema, plain):
        refusal = _refusal(schema, plain, binding)  # outputs of another type than the operator's are of our making
        if _MACHINE in refusal:
            continue
        yield _facts(schema, plain, binding), None if "Type Error" in refusal else _loads(refusal)
    told_apart = loading if schema.has_function or schema.has_context_dependent_function else loading[:1]
    for usage in (*_optional(schema), *_attributes(schema)):
        said, chosen = bool(usage.attributes), told_apart if usage.attributes else loading
        usage = Usage(usage.optional or plain.optional, {**plain.attributes, **usage.attributes})
        for binding in _bindings(schema, usage):
            if any(base.items() <= binding.items() for base in chosen):
                refusal = _refusal(schema, usage, binding)
                if _MACHINE in refusal:
                    continue
                of_types = "Type Error" in refusal and said  # an attribute may ask for another type
                yield _facts(schema, usage, binding), None if of_types else _loads(refusal)


def _loads(refusal: str) -> bool | None:
    """What a refusal says: that there is no such kernel, type or attribute, or nothing that is certain."""
    return not refusal or (False if any(words in refusal for words in _LACKING) else None)


def _integers(schema: Any, counts: tuple[int, ...] = (1,)) -> Iterator[Usage]:
    rows = ((name, row) for name, row in schema.attributes.items() if name not in _OF_TYPES)
    names = [name for name, row in rows if row.type.name == "INT" and not row.required]
    yield from (Usage(attributes={name: count}) for name in names for count in counts)


def _optional(schema: Any) -> Iterator[Usage]:
    yield from (Usage(formal.name) for formal in schema.inputs if formal.option.name == "Optional")


def _attributes(schema: Any) -> Iterator[Usage]:
    """Each attribute that may be left out: what it says unsaid, and what it may say; two integers at once."""
    for name, row in schema.attributes.items():
        if row.required or name in _OF_TYPES:
            continue
        kind = row.type.name
        if row.default_value.name:
            yield Usage(attributes={name: helper.get_attribute_value(row.default_value)})
        elif kind in _VALUES:
            yield Usage(attributes={name: _VALUES[kind]})
        for choice in _CHOICES.get(row.default_value.s.decode(), ()):
            yield Usage(attributes={name: choice})
    yield from _integers(schema, (0, *_COUNTS))
    for first, second in combinations(_integers(schema, _COUNTS), 2):
        if first.attributes.keys() != second.attributes.keys():
            yield Usage(attributes={**first.attributes, **second.attributes})


def _formals(schema: Any, usage: Usage) -> tuple[list[Any], list[Any]]:
    last = schema.min_input
    if usage.optional:
        last = max(last, next(i for i, formal in enumerate(schema.inputs) if formal.name == usage.optional) + 1)
    inputs = [schema.inputs[min(i, len(schema.inputs) - 1)] for i in range(last)]
    outputs = [schema.outputs[min(i, len(schema.outputs) - 1)] for i in range(max(1, schema.min_output))]
    return inputs, outputs


def _given(schema: Any, usage: Usage) -> tuple[list[Any], list[Any]]:
    inputs, outputs = _formals(schema, usage)
    kept = [formal for place, formal in enumerate(inputs) if place < schema.min_input or formal.name == usage.optional]
    return kept, outputs


def _bindings(schema: Any, usage: Usage) -> Iterator[dict[str, str]]:
    inputs, outputs = _given(schema, usage)
    return bindings(schema, [*inputs, *outputs])


def _model(schema: Any, usage: Usage, binding: dict[str, str]) -> Any:
    inputs, outputs = _formals(schema, usage)
    kept = {formal.name for formal in inputs[schema.min_input :] if formal.name != usage.optional}
    names = ["" if formal.name in kept else f"i{place}" for place, formal in enumerate(inputs)]
    required = {name: row.type.name for name, row in schema.attributes.items() if row.required}
    kind = _kind(inputs[0], binding) if inputs else TensorProto.FLOAT
    given = {name: _required(name, row, kind) for name, row in required.items()}
    given |= _NEEDED.get(schema.name, {}) | usage.attributes
    results = [helper.make_tensor_value_info(f"o{n}", _kind(f, binding), None) for n, f in enumerate(outputs)]
    if schema.name in _DTYPE:
        given[_DTYPE[schema.name]] = results[0].type.tensor_type.elem_type
    values = [
        helper.make_tensor_value_info(name, _kind(formal, binding), None)
        for name, formal in zip(names, inputs, strict=True)
        if name
    ]
    node = helper.make_node(schema.name, names, [value.name for value in results], domain=schema.domain, **given)
    opsets = {"": 18} | {schema.domain: schema.since_version}
    return helper.make_model(
        helper.make_graph([node], "g", values, results),
        opset_imports=[helper.make_opsetid(*row) for row in opsets.items()],
        ir_version=_IR,
    )


def _kind(formal: Any, binding: dict[str, str]) -> int:
    kind = binding.get(formal.type_str) or formal.type_str.removeprefix("tensor(").removesuffix(")")
    if kind.upper() not in TensorProto.DataType.keys():  # noqa: SIM118 (it is no dict)
        raise NotMadeError(kind)
    return int(TensorProto.DataType.Value(kind.upper()))


def _required(name: str, kind: str, element: int) -> Any:
    if kind == "TENSOR":
        return helper.make_tensor(name, TensorProto.UINT8 if name in _BYTES else element, [1], [1])
    if kind not in _VALUES:
        raise NotMadeError(kind)
    return _VALUES[kind]


def _facts(schema: Any, usage: Usage, binding: dict[str, str]) -> frozenset[str]:
    return facts(_model(schema, usage, binding).graph.node[0], schema, binding)


def _refusal(schema: Any, usage: Usage, binding: dict[str, str]) -> str:
    """Why the runtime does not load such a node; "" where it does. Raises NotMadeError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    content = _model(schema, usage, binding).SerializeToString()
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of C++, without a base
        return str(error)
    return ""


def measured(newest: dict[str, int]) -> dict[str, dict[str, list[list[Any]]]]:
    """All operators up to these opsets."""
    found: dict[str, dict[str, list[list[Any]]]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.since_version > newest.get(schema.domain, 0) or schema.deprecated:
            continue
        rows = _survived(schema)
        if not rows:
            continue
        name = f"{schema.domain}:{schema.name}" if schema.domain else schema.name
        found.setdefault(name, {})[str(schema.since_version)] = rows
    return found


def _survived(schema: Any) -> list[list[Any]]:
    """What is observed, up to where some made-up value ended the process; at least whether each binding is loaded."""
    rows, whole = _in_a_child(observed(schema))
    if rows or whole:
        return rows
    each = [(binding, *_in_a_child(_plainly(schema, binding))) for binding in _bindings(schema, Usage())]
    # What ends the process has found a kernel, which cannot stand what was made up.
    return [
        row for binding, own, ended in each for row in own or [[sorted(_facts(schema, Usage(), binding)), not ended]]
    ]


def _plainly(schema: Any, binding: dict[str, str]) -> Iterator[Observation]:
    yield _facts(schema, Usage(), binding), _loads(_refusal(schema, Usage(), binding))


def _in_a_child(observations: Iterator[Observation]) -> tuple[list[list[Any]], bool]:
    """What comes of them in a process of its own, and whether that has come to its end."""
    with tempfile.TemporaryFile("w+") as lines:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(NotMadeError):
                for known, loads in observations:
                    print(json.dumps((sorted(known), loads)), file=lines, flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        lines.seek(0)
        return [json.loads(line) for line in lines], os.WIFEXITED(status)


def joined(folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Of all versions in a folder: the facts of what is not loaded, as few as tell it apart, and since when it is."""
    tables = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    versions = sorted(tables, key=_numbers)
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, opset in sorted({(own, opset) for table in tables.values() for own in table for opset in table[own]}):
        seen: dict[frozenset[str], dict[str, bool | None]] = {}
        for version in versions:
            for known, loads in tables[version].get(name, {}).get(opset, ()):
                seen.setdefault(frozenset(known), {})[version] = loads
        if rows := dict(_rows(seen)):
            found.setdefault(name, {})[opset] = rows
    return found


def _rows(seen: dict[frozenset[str], dict[str, bool | None]]) -> Iterator[tuple[str, str]]:
    """Of all that some versions do not load as few facts as no node has that one of these loads, or may load."""
    spans = {known: _span(loads) for known, loads in seen.items()}
    for span in sorted({span for span in spans.values() if span}):
        others = [
            known
            for known, loads in seen.items()
            if any(own is not False and _within(v, span) for v, own in loads.items())
            and not (spans[known] and None in loads.values())
        ]
        waiting = [known for known, own in spans.items() if own == span]
        while waiting:
            row = _apart(waiting, others)
            yield " ".join(sorted(row)), span
            waiting = [known for known in waiting if not row <= known]


def _span(loads: dict[str, bool | None]) -> str:
    """The versions that do not load it, as `kernels.json` says them; "" where every one does.

    What may have been made up badly counts where a later version takes it.
    """
    newest = max((_numbers(version) for version, own in loads.items() if own), default=())
    lacking = [v for v, own in loads.items() if own is False or (own is None and _numbers(v) < newest)]
    if not lacking:
        return ""
    since = lacking[0] if any(_numbers(v) < _numbers(lacking[0]) for v, own in loads.items() if own) else ""
    until = next((v for v, own in loads.items() if own and _numbers(v) > _numbers(lacking[-1])), "")
    return f"{since}..{until}"


def _within(version: str, span: str) -> bool:
    return kernels.within(version, span)


def _apart(waiting: list[frozenset[str]], others: list[frozenset[str]]) -> frozenset[str]:
    """The fewest facts of the first one that none of the others has; of those, what most of the waiting ones have."""
    masks = {fact: sum(1 << n for n, known in enumerate(others) if fact in known) for fact in waiting[0]}
    for size in range(_MOST + 1):
        rows = [
            frozenset(row)
            for row in combinations(sorted(masks), size)
            if not reduce(int.__and__, (masks[fact] for fact in row), (1 << len(others)) - 1)
        ]
        if rows:
            return max(rows, key=lambda row: (sum(row <= known for known in waiting), "@" not in str(row)))
    return waiting[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main() -> None:
    """Measure, or join."""
    import onnxruntime

    from tritonpm.core.releases import limits

    if sys.argv[1] == "--join":
        Path(kernels.__file__).with_suffix(".json").write_text(
            json.dumps(joined(Path(sys.argv[2])), sort_keys=True) + "\n"
        )
        return
    onnxruntime.set_default_logger_severity(4)
    taken = limits(onnxruntime.__version__)
    Path(sys.argv[1]).write_text(json.dumps(measured({"": taken["opset"], ML: taken["ml"]})))


if __name__ == "__main__":
    main()

"""For which operators and types the ONNX Runtime of this environment has no kernel: each asked of it, one node at a time.

`python -m tests.support.releases.kernels OUT` in an environment with a release's own wheel; OUT is a JSON of
operator → version → bindings of type variables ("T=int16", "T=float T1=uint32"; "*": all).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, defs, helper

TYPES = ("float", "float16", "double", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string")  # fmt: skip
_VALUES = {"INT": 1, "INTS": [1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": "x", "STRINGS": ["x"]}


def bindings(schema: Any) -> Iterator[dict[str, str]]:
    """Every pair of types for up to two variables; of more, each one's types with the others' first."""
    rows = {
        row.type_param_str: [kind for kind in TYPES if f"tensor({kind})" in row.allowed_type_strs]
        for row in schema.type_constraints
    }
    if not rows or not all(rows.values()):
        return
    if len(rows) <= 2:
        yield from (dict(zip(rows, chosen, strict=True)) for chosen in product(*rows.values()))
        return
    first = {name: kinds[0] for name, kinds in rows.items()}
    yield first
    yield from ({**first, name: kind} for name, kinds in rows.items() for kind in kinds[1:])


def node(schema: Any, opset: int, binding: dict[str, str]) -> bytes | None:
    """A model of that one operator; None where it needs a graph."""

    def kind_of(formal: Any) -> int:
        kind = binding.get(formal.type_str) or formal.type_str.removeprefix("tensor(").removesuffix(")")
        return int(TensorProto.DataType.Value(kind.upper()))

    given = {}
    for name, attribute in schema.attributes.items():
        if attribute.required:
            if attribute.type.name not in _VALUES:
                return None
            given[name] = _VALUES[attribute.type.name]
    try:
        formals = [schema.inputs[min(i, len(schema.inputs) - 1)] for i in range(schema.min_input)]
        results = [schema.outputs[min(i, len(schema.outputs) - 1)] for i in range(max(1, schema.min_output))]
        inputs = [helper.make_tensor_value_info(f"i{n}", kind_of(f), None) for n, f in enumerate(formals)]
        outputs = [helper.make_tensor_value_info(f"o{n}", kind_of(f), None) for n, f in enumerate(results)]
    except ValueError:
        return None
    if schema.name in ("Cast", "EyeLike", "RandomUniformLike", "RandomNormalLike", "Bernoulli", "BitCast"):
        given["to" if "Cast" in schema.name else "dtype"] = outputs[0].type.tensor_type.elem_type
    made = helper.make_node(
        schema.name, [v.name for v in inputs], [v.name for v in outputs], domain=schema.domain, **given
    )
    domains = [helper.make_opsetid("", opset if not schema.domain else 18)]
    domains += [helper.make_opsetid(schema.domain, opset)] if schema.domain else []
    return bytes(
        helper.make_model(
            helper.make_graph([made], "g", inputs, outputs), opset_imports=domains, ir_version=8
        ).SerializeToString()
    )


def missing(newest: dict[str, int]) -> dict[str, dict[str, list[str]]]:
    """What the runtime has no kernel for, of the operators up to these opsets."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    found: dict[str, dict[str, list[str]]] = {}
    for schema in defs.get_all_schemas_with_history():
        opset = schema.since_version
        if schema.domain not in newest or opset > newest[schema.domain] or schema.deprecated:
            continue
        lacking, seen = [], 0
        for binding in bindings(schema):
            model = node(schema, opset, binding)
            if model is None:
                break
            seen += 1
            try:
                onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            except Exception as error:
                if "NOT_IMPLEMENTED" in str(error) and (
                    "an implementation" in str(error) or "find kernel" in str(error)
                ):
                    lacking.append(" ".join(f"{name}={kind}" for name, kind in sorted(binding.items())))
        if lacking:
            name = f"{schema.domain}:{schema.name}" if schema.domain else schema.name
            found.setdefault(name, {})[str(opset)] = ["*"] if len(lacking) == seen else lacking
    return found


if __name__ == "__main__":
    import onnxruntime

    from tritonpm.core.releases import releases

    rows = [row for row in releases() if row.onnxruntime == onnxruntime.__version__]
    limits = {"": rows[0].opset, "ai.onnx.ml": rows[0].ml} if rows else {"": 26, "ai.onnx.ml": 5}
    Path(sys.argv[1]).write_text(json.dumps(missing(limits), sort_keys=True))
    print(onnx.__version__, onnxruntime.__version__, limits)

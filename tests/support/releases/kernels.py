"""For which operators and types the ONNX Runtime of this environment has no kernel: each asked of it, one node at a time.

`python -m tests.support.releases.kernels OUT` in an environment with a release's own wheel; OUT is a JSON of
operator → version → bindings without a kernel. `… kernels --join FOLDER` writes package/kernels.json of all that lie in
a folder, each named for its version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from onnx import TensorProto, defs, helper

from tritonpm.package import kernels
from tritonpm.package.kernels import bindings, key

_VALUES = {"INT": 1, "INTS": [1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": "x", "STRINGS": ["x"]}


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
        lacking = []
        for binding in bindings(schema):
            model = node(schema, opset, binding)
            if model is None:
                break
            try:
                onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            except Exception as error:
                if "NOT_IMPLEMENTED" in str(error) and (
                    "an implementation" in str(error) or "find kernel" in str(error)
                ):
                    lacking.append(key(binding))
        if lacking:
            name = f"{schema.domain}:{schema.name}" if schema.domain else schema.name
            found.setdefault(name, {})[str(opset)] = lacking
    return found


def joined(folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Of each binding the first version that has a kernel, "" where the newest one has none."""
    tables = {tuple(map(int, path.stem.split("."))): json.loads(path.read_text()) for path in folder.glob("*.json")}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for version in sorted(tables):
        later = [other for other in sorted(tables) if other > version]
        for name, rows in tables[version].items():
            for opset, lacking in rows.items():
                for binding in lacking:
                    has = (v for v in later if binding not in tables[v].get(name, {}).get(opset, ()))
                    first = next(has, None)
                    found.setdefault(name, {}).setdefault(opset, {})[binding] = ".".join(map(str, first or ()))
    for name, rows in found.items():
        domain, _, operator = name.rpartition(":")
        for opset, firsts in rows.items():
            every = {key(binding) for binding in bindings(defs.get_schema(operator, int(opset), domain))}
            if every == set(firsts) and len(set(firsts.values())) == 1:
                rows[opset] = {"*": next(iter(firsts.values()))}
    return found


def main() -> None:
    """Measure, or join."""
    import onnxruntime

    from tritonpm.core.releases import releases

    if sys.argv[1] == "--join":
        Path(kernels.__file__).with_suffix(".json").write_text(
            json.dumps(joined(Path(sys.argv[2])), sort_keys=True) + "\n"
        )
        return
    rows = [row for row in releases() if row.onnxruntime == onnxruntime.__version__]
    limits = {"": rows[0].opset, "ai.onnx.ml": rows[0].ml} if rows else {"": 26, "ai.onnx.ml": 5}
    Path(sys.argv[1]).write_text(json.dumps(missing(limits), sort_keys=True))


if __name__ == "__main__":
    main()

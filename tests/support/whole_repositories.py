"""Repositories of the kinds that Triton's own examples have: ONNX, sequences, text, identity, an ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from tests.support.models import scaled

CPU = "instance_group { count: 1 kind: KIND_CPU }\n"
_TENSOR = '{{ name: "{name}" data_type: TYPE_{kind} dims: [ {dims} ] {more}}}\n'


def tensor(side: str, name: str, kind: str = "FP32", dims: str = "4", more: str = "") -> str:
    return f"{side} " + _TENSOR.format(name=name, kind=kind, dims=dims, more=more)


def graph(text: str) -> bytes:
    made = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    return bytes(made.SerializeToString())


def written(root: Path, name: str, config: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (root / name / path).write_bytes(content)
    (root / name / "config.pbtxt").write_text(config)


def repository(root: Path) -> Path:
    """Eight models: two numbers in, two versions, labels and a warm-up file, sequences, text, identity, two ensembles."""
    onnxruntime = 'backend: "onnxruntime"\n' + CPU
    two = "g (int32[N,16] a, int32[N,16] b) => (int32[N,16] sum, int32[N,16] less) { sum = Add(a, b) less = Sub(a, b) }"
    sides = "".join(tensor("input", n, "INT32", "16") for n in "ab")
    sides += "".join(tensor("output", n, "INT32", "16") for n in ("sum", "less"))
    written(root, "simple", f'name: "simple"\nmax_batch_size: 8\n{onnxruntime}{sides}', {"1/model.onnx": graph(two)})
    labelled = (
        'platform: "onnxruntime_onnx"\nmax_batch_size: 4\nversion_policy { all { } }\n' + CPU + tensor("input", "x")
        + tensor("output", "y", more='label_filename: "labels.txt" ')
        + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] '
        'input_data_file: "x" } } }\n'
        "dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 100 }\n"
        'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
    )  # fmt: skip
    written(root, "labelled", labelled, {
        "1/model.onnx": scaled(2.0), "3/model.onnx": scaled(3.0), "labels.txt": b"a\nb\nc\nd\n",
        "warmup/x": np.ones(4, np.float32).tobytes(),
        "configs/fast.pbtxt": labelled.replace("max_batch_size: 4", "max_batch_size: 8").encode(),
    })  # fmt: skip
    control = '{{ name: "{0}" control {{ kind: CONTROL_SEQUENCE_{0} int32_false_true: [ 0, 1 ] }} }}'.format
    counting = (
        "g (int32[N,1] X, int32[N,1] START, int32[N,1] READY) => (int32[N,1] Y) { s = Add(X, START) Y = Mul(s, READY) }"
    )
    ends = tensor("input", "X", "INT32", "1") + tensor("output", "Y", "INT32", "1")
    sequences = f"sequence_batching {{ control_input [ {control('START')}, {control('READY')} ] }}\n"
    written(root, "counter", f"max_batch_size: 8\n{onnxruntime}{ends}{sequences}", {"1/model.onnx": graph(counting)})
    text = "g (string[N,2] t) => (string[N,2] u) { u = Identity(t) }"
    words = tensor("input", "t", "STRING", "2") + tensor("output", "u", "STRING", "2")
    written(root, "words", f"max_batch_size: 8\n{onnxruntime}{words}", {"1/model.onnx": graph(text)})
    for name, factor in (("prepare", 0.5), ("classify", 4.0)):
        config = f"max_batch_size: 8\n{onnxruntime}{tensor('input', 'x')}{tensor('output', 'y')}"
        written(root, name, config, {"1/model.onnx": scaled(factor)})
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "x" value: "{given}" }} '
        f'output_map {{ key: "y" value: "{made}" }} }}\n'
        for model, given, made in (("prepare", "RAW", "prepared"), ("classify", "prepared", "SCORES"))
    )
    joined = tensor("input", "RAW") + tensor("output", "SCORES") + f"ensemble_scheduling {{ {steps} }}\n"
    written(root, "pipeline", f'platform: "ensemble"\nmax_batch_size: 8\n{joined}', {"1/.keep": b""})
    line = 'parameters { key: "line" value { string_value: "3" } }\n'  # which no cascade has
    written(root, "kept", f'platform: "ensemble"\nmax_batch_size: 8\n{joined}{line}', {"1/.keep": b""})
    return root

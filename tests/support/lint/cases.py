"""A catalogue of good and broken repositories, each with an id: what lint and the real server are both asked about."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.repositories import BASE, ENSEMBLE, FIXED, MODEL, ensemble, model


@dataclass(frozen=True)
class Case:
    """A repository to be: `build` fills a folder, `model` is what the server is asked to load."""

    id: str
    build: Callable[[Path], None]
    model: str = "m"


def swapped(old: str, new: str, base: str = BASE) -> str:
    if old not in base:
        raise ValueError(f"{old!r} is not in the base")
    return base.replace(old, new)


GOOD = {
    "plain": BASE,
    "fixed": FIXED,
    "no-name": swapped('name: "m"\n', ""),
    "comment": "# a comment\n" + BASE,
    "batching": BASE + "dynamic_batching { }",
    "preferred": BASE + "dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }",
    "batching-no-batch": FIXED + "dynamic_batching { }",
    "policy-all": BASE + "version_policy { all { } }",
    "policy-latest-2": BASE + "version_policy { latest { num_versions: 2 } }",
    "policy-specific": BASE + "version_policy { specific { versions: [ 1 ] } }",
    "parameters": BASE + 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
    "two-groups": BASE + "instance_group { count: 1 kind: KIND_CPU }",
    "group-auto": swapped("kind: KIND_CPU", "kind: KIND_AUTO"),
    "group-no-kind": swapped("kind: KIND_CPU", ""),
    "group-count-0": swapped("count: 1", "count: 0"),
    "warmup": BASE
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] zero_data: true } } }',
    "optimization": BASE + "optimization { graph { level: 1 } }",
    "cache": BASE + "response_cache { enable: true }",
    "reshape-same": swapped("dims: [ 4 ] }\noutput", "dims: [ 2, 2 ] reshape { shape: [ 4 ] } }\noutput"),
    "priority-levels": BASE + "dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
    "rate-limiter": swapped(
        "kind: KIND_CPU", 'kind: KIND_CPU rate_limiter { resources { name: "r" count: 1 } priority: 1 }'
    ),
    "wildcard-dims": swapped("dims: [ 4 ]", "dims: [ -1 ]"),
    "no-tensors": 'name: "m"\nbackend: "onnxruntime"\ninstance_group { count: 1 kind: KIND_CPU }\n',
    "platform-only": swapped('backend: "onnxruntime"', 'platform: "onnxruntime_onnx"'),
    "transaction": BASE + "model_transaction_policy { decoupled: false }",
    "default-file": BASE + 'default_model_filename: "model.onnx"',
    "sequence": BASE + "sequence_batching { max_sequence_idle_microseconds: 5000000 }",
    "metric-tags": BASE + 'metric_tags { key: "a" value: "b" }',
}

BROKEN = {
    "no-text-format": "this is no config",
    "unclosed": BASE + "dynamic_batching {",
    "unknown-field": BASE + "max_batchsize: 4",
    "wrong-type": swapped("max_batch_size: 8", 'max_batch_size: "8"'),
    "unknown-enum": swapped("TYPE_FP32 dims: [ 4 ] }\noutput", "TYPE_FLOAT dims: [ 4 ] }\noutput"),
    "twice": BASE + "max_batch_size: 4",
    "oneof-twice": BASE + "dynamic_batching { } sequence_batching { }",
    "other-name": swapped('name: "m"', 'name: "other"'),
    "negative-batch": swapped("max_batch_size: 8", "max_batch_size: -1"),
    "preferred-above": BASE + "dynamic_batching { preferred_batch_size: [ 16 ] }",
    "preferred-zero": BASE + "dynamic_batching { preferred_batch_size: [ 0 ] }",
    "preferred-negative": BASE + "dynamic_batching { preferred_batch_size: [ -4 ] }",
    "preferred-no-batch": FIXED + "dynamic_batching { preferred_batch_size: [ 4 ] }",
    "default-priority": BASE + "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
    "no-default-priority": BASE + "dynamic_batching { priority_levels: 2 }",
    "group-negative": swapped("count: 1", "count: -1"),
    "group-gpus-on-cpu": swapped("kind: KIND_CPU", "kind: KIND_CPU gpus: [ 0 ]"),
    "group-gpu-none": swapped("kind: KIND_CPU", "kind: KIND_GPU"),
    "group-gpu-99": swapped("kind: KIND_CPU", "kind: KIND_GPU gpus: [ 99 ]"),
    "dims-zero": swapped("dims: [ 4 ] }\noutput", "dims: [ 0 ] }\noutput"),
    "dims-minus-two": swapped("dims: [ 4 ] }\noutput", "dims: [ -2 ] }\noutput"),
    "dims-none": swapped("dims: [ 4 ] }\noutput", "}\noutput"),
    "dims-differ": swapped("dims: [ 4 ] }\noutput", "dims: [ 5 ] }\noutput"),
    "rank-differs": swapped("dims: [ 4 ] }\noutput", "dims: [ 4, 4 ] }\noutput"),
    "dtype-none": swapped("data_type: TYPE_FP32 dims: [ 4 ] }\noutput", "dims: [ 4 ] }\noutput"),
    "dtype-differs": swapped("TYPE_FP32 dims: [ 4 ] }\noutput", "TYPE_INT32 dims: [ 4 ] }\noutput"),
    "input-no-name": swapped('name: "x" ', ""),
    "input-unknown": swapped('name: "x"', 'name: "z"'),
    "output-unknown": swapped('name: "y"', 'name: "z"'),
    "input-twice": BASE + 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }',
    "output-twice": BASE + 'output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }',
    "reshape-differs": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] reshape { shape: [ 3 ] } }\noutput"),
    "reshape-zero": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] reshape { shape: [ 0 ] } }\noutput"),
    "reshape-wildcards": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] reshape { shape: [ -1, -1 ] } }\noutput"),
    "no-backend": swapped('backend: "onnxruntime"\n', 'backend: "nothing-like-that"\n'),
    "platform-unknown": swapped('backend: "onnxruntime"', 'platform: "nothing"'),
    "default-file-missing": BASE + 'default_model_filename: "other.onnx"',
    "policy-latest-0": BASE + "version_policy { latest { num_versions: 0 } }",
    "policy-specific-missing": BASE + "version_policy { specific { versions: [ 7 ] } }",
    "policy-specific-none": BASE + "version_policy { specific { } }",
    "warmup-no-input": BASE + 'model_warmup { name: "w" batch_size: 1 }',
    "warmup-batch": BASE
    + 'model_warmup { name: "w" batch_size: 99 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] zero_data: true } } }',
    "warmup-file-missing": BASE
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] input_data_file: "f" } } }',
    "warmup-unknown-input": BASE
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "z" value { data_type: TYPE_FP32 dims: [4] zero_data: true } } }',
    "warmup-no-data": BASE
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] } } }',
    "warmup-dtype": BASE
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_INT8 dims: [4] zero_data: true } } }',
    "warmup-no-name": BASE
    + 'model_warmup { batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [4] zero_data: true } } }',
    "label-missing": swapped("dims: [ 4 ] }\ninstance", 'dims: [ 4 ] label_filename: "labels.txt" }\ninstance'),
    "resource-negative": swapped("kind: KIND_CPU", 'kind: KIND_CPU rate_limiter { resources { name: "r" count: -1 } }'),
    "sequence-control": BASE + 'sequence_batching { control_input { name: "c" } }',
    "sequence-oldest": BASE + "sequence_batching { oldest { max_candidate_sequences: 0 } }",
    "sequence-oldest-preferred": BASE
    + "sequence_batching { oldest { max_candidate_sequences: 4 preferred_batch_size: [ 99 ] } }",
    "cache-sequence": BASE + "response_cache { enable: true } sequence_batching { }",
    "cache-decoupled": BASE + "response_cache { enable: true } model_transaction_policy { decoupled: true }",
    "ensemble-platform": swapped('backend: "onnxruntime"', 'platform: "ensemble"'),
    "optional-output": swapped("dims: [ 4 ] }\ninstance", "dims: [ 4 ] optional: true }\ninstance"),
    "reshape-input-ragged": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] allow_ragged_batch: true }\noutput"),
    "format-nchw": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] format: FORMAT_NCHW }\noutput"),
    "shape-tensor": swapped("dims: [ 4 ] }\noutput", "dims: [ 4 ] is_shape_tensor: true }\noutput"),
    "negative-delay": BASE + "dynamic_batching { max_queue_delay_microseconds: -1 }",
    "minus-zero": BASE + "dynamic_batching { max_queue_delay_microseconds: -0 }",
    "minus-zero-signed": swapped("max_batch_size: 8", "max_batch_size: -0"),
    "minus-apart": swapped("max_batch_size: 8", "max_batch_size: - 1"),
    "passive-warm-up": swapped("count: 1 kind: KIND_CPU", "kind: KIND_CPU passive: true")
    + 'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { dims: [ 9 ] } } }',
    "overflow-batch": swapped("max_batch_size: 8", "max_batch_size: 99999999999"),
    "secondary-device": swapped("kind: KIND_CPU", "kind: KIND_CPU secondary_devices { kind: KIND_NVDLA device_id: 0 }"),
    "profile": swapped("kind: KIND_CPU", 'kind: KIND_CPU profile: [ "0" ]'),
    "host-policy": swapped("kind: KIND_CPU", 'kind: KIND_CPU host_policy: "p"'),
    "passive": swapped("count: 1 kind: KIND_CPU", "count: 1 kind: KIND_CPU passive: true"),
}

ENSEMBLES = {
    "plain": ENSEMBLE,
    "missing-member": swapped('model_name: "m2"', 'model_name: "m3"', ENSEMBLE),
    "no-steps": ENSEMBLE.split("ensemble_scheduling")[0] + "ensemble_scheduling { }",
    "no-scheduling": ENSEMBLE.split("ensemble_scheduling")[0],
    "no-model-name": swapped('model_name: "m2" ', "", ENSEMBLE),
    "unmapped-input": swapped('input_map { key: "x" value: "mid" } ', "", ENSEMBLE),
    "unmapped-output": swapped(' output_map { key: "y" value: "out" }', "", ENSEMBLE),
    "unknown-input": swapped('key: "x" value: "mid"', 'key: "z" value: "mid"', ENSEMBLE),
    "unknown-output": swapped('key: "y" value: "out"', 'key: "z" value: "out"', ENSEMBLE),
    "dangling": swapped('key: "x" value: "mid"', 'key: "x" value: "nowhere"', ENSEMBLE),
    "unused-input": swapped('key: "x" value: "in"', 'key: "x" value: "mid2"', ENSEMBLE),
    "written-twice": swapped('key: "y" value: "mid"', 'key: "y" value: "out"', ENSEMBLE),
    "input-as-output": swapped('key: "y" value: "mid"', 'key: "y" value: "in"', ENSEMBLE),
    "dtype-in": swapped("TYPE_FP32 dims: [ 4 ] }\noutput", "TYPE_INT32 dims: [ 4 ] }\noutput", ENSEMBLE),
    "dtype-out": swapped("TYPE_FP32 dims: [ 4 ] }\nensemble", "TYPE_INT32 dims: [ 4 ] }\nensemble", ENSEMBLE),
    "dims-in": swapped("dims: [ 4 ] }\noutput", "dims: [ 5 ] }\noutput", ENSEMBLE),
    "dims-wildcard": swapped("dims: [ 4 ]", "dims: [ -1 ]", ENSEMBLE),
    "rank-out": swapped("dims: [ 4 ] }\nensemble", "dims: [ 4, 1 ] }\nensemble", ENSEMBLE),
    "batch-above": swapped("max_batch_size: 8", "max_batch_size: 16", ENSEMBLE),
    "batch-below": swapped("max_batch_size: 8", "max_batch_size: 4", ENSEMBLE),
    "batch-zero": swapped("max_batch_size: 8", "max_batch_size: 0", ENSEMBLE).replace("dims: [ 4 ]", "dims: [ -1, 4 ]"),
    "batch-zero-dims": swapped("max_batch_size: 8", "max_batch_size: 0", ENSEMBLE),
    "instance-group": ENSEMBLE + "instance_group { count: 1 kind: KIND_CPU }",
    "dynamic-batching": ENSEMBLE + "dynamic_batching { }",
    "version-pinned": swapped("model_version: -1", "model_version: 1", ENSEMBLE),
    "version-missing": swapped("model_version: -1", "model_version: 7", ENSEMBLE),
    "version-negative": swapped("model_version: -1", "model_version: -2", ENSEMBLE),
    "cycle-tensors": swapped('key: "x" value: "in"', 'key: "x" value: "out"', ENSEMBLE),
    "cache": ENSEMBLE + "response_cache { enable: true }",
    "optimization": ENSEMBLE + "optimization { graph { level: 1 } }",
    "parameters": ENSEMBLE + 'parameters { key: "a" value { string_value: "b" } }',
    "no-input": swapped('input { name: "in" data_type: TYPE_FP32 dims: [ 4 ] }\n', "", ENSEMBLE),
    "no-output": swapped('output { name: "out" data_type: TYPE_FP32 dims: [ 4 ] }\n', "", ENSEMBLE),
    "empty-value": swapped('value: "mid" } }', 'value: "" } }', ENSEMBLE),
    "backend-too": swapped('platform: "ensemble"', 'platform: "ensemble"\nbackend: "onnxruntime"', ENSEMBLE),
    "extra-output": swapped('output { name: "out"', 'output { name: "more" data_type: TYPE_FP32 dims: [ 4 ] }\noutput { name: "out"', ENSEMBLE),
    "extra-input": swapped('input { name: "in"', 'input { name: "more" data_type: TYPE_FP32 dims: [ 4 ] }\ninput { name: "in"', ENSEMBLE),
    "decoupled": ENSEMBLE + "model_transaction_policy { decoupled: true }",
}  # fmt: skip


def _layouts() -> Iterator[Case]:
    def no_config(root: Path) -> None:
        model(root, None)

    def versions(*names: str) -> Callable[[Path], None]:
        return lambda root: (model(root, BASE, versions=names), None)[1]

    def file_at(path: str, content: bytes = b"") -> Callable[[Path], None]:
        def build(root: Path) -> None:
            folder = model(root)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)

        return build

    def empty_version(root: Path) -> None:
        model(root, BASE, versions=())
        (root / "m/1").mkdir()

    def broken_model(root: Path) -> None:
        model(root)
        (root / "m/1/model.onnx").write_bytes(MODEL[:20])

    yield Case("layout-no-config", no_config)
    yield Case("layout-no-version", versions())
    yield Case("layout-two-versions", versions("1", "3"))
    yield Case("layout-version-01", versions("01"))
    yield Case("layout-version-0", versions("0"))
    yield Case("layout-version-negative", versions("-1"))
    yield Case("layout-version-word", versions("one"))
    yield Case("layout-version-2.0", versions("2.0"))
    yield Case("layout-version-and-word", versions("1", "notes"))
    yield Case("layout-version-1a", versions("1a"))
    yield Case("layout-extra-file", file_at("README.md"))
    yield Case("layout-empty-version", empty_version)
    yield Case("layout-model-truncated", broken_model)
    yield Case("layout-not-there", lambda root: None)
    yield Case("layout-empty-config", lambda root: (model(root, ""), None)[1])
    yield Case("layout-labels-there", _labelled)


def _labelled(root: Path) -> None:
    folder = model(root, BROKEN["label-missing"])
    (folder / "labels.txt").write_text("a\nb\nc\nd\n")


def _members() -> Iterator[Case]:
    yield Case("members-unbatched", lambda root: ensemble(root, m=FIXED), "e")
    unbatched = ENSEMBLES["batch-zero"]
    yield Case("members-unbatched-ensemble-too", lambda root: ensemble(root, unbatched, m=FIXED), "e")
    yield Case("members-broken", lambda root: ensemble(root, m=BROKEN["dims-differ"]), "e")
    yield Case("members-no-version", lambda root: ensemble(root, version=False), "e")
    itself = ENSEMBLE.replace('model_name: "m2"', 'model_name: "e"')
    yield Case("members-itself", lambda root: ensemble(root, itself), "e")

    def circle(root: Path) -> None:
        ensemble(root, ENSEMBLE.replace('model_name: "m2"', 'model_name: "f"'))
        (root / "f/1").mkdir(parents=True)
        text = ENSEMBLE.replace('name: "e"', 'name: "f"').replace('model_name: "m2"', 'model_name: "e"')
        (root / "f/config.pbtxt").write_text(text)

    yield Case("members-circle", circle, "e")


def catalogue() -> list[Case]:
    """Every case that one server survives."""
    single = [
        Case(f"{kind}-{name}", lambda root, text=text: (model(root, text), None)[1])  # type: ignore[misc]
        for kind, texts in (("good", GOOD), ("broken", BROKEN))
        for name, text in texts.items()
    ]
    several = [
        Case(f"ensemble-{name}", lambda root, text=text: ensemble(root, text), "e")  # type: ignore[misc]
        for name, text in ENSEMBLES.items()
    ]
    return [*single, *several, *_layouts(), *_members()]


def fifo(root: Path) -> None:
    model(root, None)
    os.mkfifo(root / "m/config.pbtxt")

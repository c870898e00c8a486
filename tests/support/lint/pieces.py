"""Pieces of a config, by the place where they go and the field that they say something of: good values and bad ones.

`generated.py` puts them into whole configs, alone, in pairs and at random. tests/repository/lint holds them against
ModelConfig's descriptor: no field and no value of an enum is left out.
"""

from __future__ import annotations

from typing import NamedTuple

from tritonpm.repository.config import messages


class Piece(NamedTuple):
    """Some text of a config, and the inputs beside `x` that its model file then has (name and ONNX type)."""

    text: str
    inputs: tuple[str, ...] = ()


Family = tuple[Piece, ...]


def texts(*given: str) -> Family:
    return tuple(Piece(text) for text in given)


def _batching(*given: str) -> Family:
    return texts(*(f"dynamic_batching {{ {text} }}" for text in given))


def _queue(*given: str) -> tuple[str, ...]:
    return tuple(f"{field} {{ {text} }}" for text in given for field in ("default_queue_policy",))


_DELAY = "timeout_action: DELAY default_timeout_microseconds: 10"
_BOOLEAN = ("START", "END", "READY")


def _controls(*given: str, inputs: tuple[str, ...] = ("c FLOAT",)) -> tuple[Piece, ...]:
    """A control input `c` with these controls."""
    return tuple(
        Piece(f'sequence_batching {{ control_input {{ name: "c" {text} }} }}', inputs if text else ()) for text in given
    )


def _control(kind: str, values: str) -> str:
    return f"control {{ kind: CONTROL_SEQUENCE_{kind} {values} }}"


def _sequence(*given: str) -> Family:
    return texts(*(f"sequence_batching {{ {text} }}" for text in given))


def _state(*given: str) -> Family:
    return tuple(Piece(f"sequence_batching {{ state {{ {text} }} }}", ("s FLOAT",)) for text in given)


_STATE = 'input_name: "s" output_name: "y" data_type: TYPE_FP32 dims: [ 1 ]'


def _sample(*given: str) -> Family:
    return texts(
        *(f'model_warmup {{ name: "w" batch_size: 1 inputs {{ key: "x" value {{ {text} }} }} }}' for text in given)
    )


_SAMPLE = "data_type: TYPE_FP32 dims: [ 4 ]"
_FED = f'inputs {{ key: "x" value {{ {_SAMPLE} zero_data: true }} }}'


def _metric(*given: str) -> Family:
    return texts(*(f"model_metrics {{ metric_control {{ {text} }} }}" for text in given))


def _optimization(*given: str) -> Family:
    return texts(*(f"optimization {{ {text} }}" for text in given))


def _batch_input(*given: str) -> Family:
    return tuple(Piece(f"batch_input {{ {text} }}", ("b FLOAT",)) for text in given)


_BATCH_KINDS = (
    "BATCH_ELEMENT_COUNT", "BATCH_ACCUMULATED_ELEMENT_COUNT", "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", "BATCH_ITEM_SHAPE", "BATCH_ITEM_SHAPE_FLATTEN",
)  # fmt: skip

# At the config's top, beside name, backend, max_batch_size, input, output and instance_group.
MODEL: dict[str, Family] = {
    "name": texts('name: "m"', 'name: "other"', 'name: ""'),
    "platform": texts('platform: "onnxruntime_onnx"', 'platform: "tensorrt_plan"', 'platform: "nothing"', 'platform: ""'),
    "runtime": texts(
        'runtime: ""', 'runtime: "libtriton_onnxruntime.so"', 'runtime: "libtriton_nothing.so"', 'runtime: "model.py"',
        'runtime: "../libtriton_onnxruntime.so"',
    ),
    "version_policy": texts(
        "version_policy { }", "version_policy { latest { } }", "version_policy { latest { num_versions: 1 } }",
        "version_policy { latest { num_versions: 4294967295 } }", "version_policy { all { } }",
        "version_policy { specific { versions: [ 1 ] } }", "version_policy { specific { versions: [ 1, 2 ] } }",
        "version_policy { specific { versions: [ 1, 1 ] } }", "version_policy { specific { versions: [ 2 ] } }",
        "version_policy { specific { } }", "version_policy { specific { versions: [ -1 ] } }",
        "version_policy { latest { num_versions: -1 } }", "version_policy { latest { } all { } }",
    ),
    "input": texts(
        'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }', 'input { name: "other" data_type: TYPE_FP32 dims: [ 4 ] }',
        "input { }", 'input { data_type: TYPE_FP32 dims: [ 4 ] }', 'input { name: "o" data_type: TYPE_FP32 dims: [ 4 ] optional: true }',
    ),
    "output": texts(
        'output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }', 'output { name: "other" data_type: TYPE_FP32 dims: [ 4 ] }',
        "output { }", 'output { data_type: TYPE_FP32 dims: [ 4 ] }',
    ),
    "batch_input": (
        *_batch_input(*(f'kind: {kind} target_name: "b" data_type: TYPE_FP32 source_input: "x"' for kind in _BATCH_KINDS)),
        *_batch_input(
            'target_name: "b" data_type: TYPE_INT32 source_input: "x"', 'target_name: "b" data_type: TYPE_INT64 source_input: "x"',
            'target_name: "b" source_input: "x"', 'target_name: "b" data_type: TYPE_FP32', 'data_type: TYPE_FP32 source_input: "x"',
            'target_name: "b" data_type: TYPE_FP32 source_input: [ "x", "x" ]', 'target_name: "b" data_type: TYPE_FP32 source_input: "z"',
            'target_name: "z" data_type: TYPE_FP32 source_input: "x"', 'target_name: "x" data_type: TYPE_FP32 source_input: "x"',
            'kind: 99 target_name: "b" data_type: TYPE_FP32 source_input: "x"',
        ),
    ),
    "batch_output": texts(
        *(f"batch_output {{ {text} }}" for text in (
            'kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "y" source_input: "x"', 'target_name: "z" source_input: "x"',
            'target_name: "y" source_input: "z"', 'target_name: "y"', 'target_name: [ "y", "y" ] source_input: "x"',
            'target_name: "y" source_input: [ "x", "x" ]', 'source_input: "x"', "", 'kind: 9 target_name: "y" source_input: "x"',
        ))
    ),
    "optimization": _optimization(
        "", *(f"graph {{ level: {level} }}" for level in (-2, -1, 0, 1, 2, 3)),
        *(f"priority: PRIORITY_{name}" for name in ("DEFAULT", "MAX", "MIN")), "priority: 7",
        "cuda { graphs: true busy_wait_events: true output_copy_stream: true }",
        'cuda { graph_spec { batch_size: 1 input { key: "x" value { dim: [ 4 ] } } graph_lower_bound { batch_size: 1 input { key: "x" value { dim: [ 4 ] } } } } }',
        'cuda { graph_spec { batch_size: -1 input { key: "z" value { dim: [ -4 ] } } } }',
        "input_pinned_memory { enable: false } output_pinned_memory { enable: true }",
        "gather_kernel_buffer_threshold: 4 eager_batching: true",
    ),
    "accelerators": _optimization(
        *(f"execution_accelerators {{ {text} }}" for text in (
            "", 'cpu_execution_accelerator { name: "openvino" }', 'cpu_execution_accelerator { name: "nothing" }',
            'cpu_execution_accelerator { }', 'gpu_execution_accelerator { name: "tensorrt" }', 'gpu_execution_accelerator { name: "cuda" }',
            'gpu_execution_accelerator { name: "nothing" }', 'gpu_execution_accelerator { }',
            'cpu_execution_accelerator { name: "openvino" parameters { key: "a" value: "b" } }',
            'gpu_execution_accelerator { name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } }',
            'gpu_execution_accelerator { name: "tensorrt" parameters { key: "precision_mode" value: "FP7" } }',
        ))
    ),
    "preferred": _batching(
        *(f"preferred_batch_size: [ {sizes} ]" for sizes in ("4", "8, 8", "4, 9", "0", "-1", "2147483647", "2147483648"))
    ),
    "delay": _batching("max_queue_delay_microseconds: 0", "max_queue_delay_microseconds: 18446744073709551615", "max_queue_delay_microseconds: -1"),
    "priority": _batching(
        "priority_levels: 0", "priority_levels: 1 default_priority_level: 1", "priority_levels: 3 default_priority_level: 3",
        "priority_levels: 3 default_priority_level: 4", "priority_levels: 3", "default_priority_level: 1",
        "priority_levels: 100000 default_priority_level: 1",
    ),
    "ordering": _batching(
        "preserve_ordering: true", "preserve_ordering: true priority_levels: 1 default_priority_level: 1",
        "preserve_ordering: true priority_levels: 2 default_priority_level: 1",
        f"preserve_ordering: true default_queue_policy {{ {_DELAY} }}",
        "preserve_ordering: true default_queue_policy { timeout_action: DELAY }",
        f"preserve_ordering: true priority_queue_policy {{ key: 1 value {{ {_DELAY} }} }}",
        f"preserve_ordering: true priority_levels: 1 default_priority_level: 1 priority_queue_policy {{ key: 1 value {{ {_DELAY} }} }}",
        f"default_queue_policy {{ {_DELAY} }}",
    ),
    "queue_policy": _batching(
        *_queue("", "timeout_action: REJECT", "timeout_action: DELAY", _DELAY, "default_timeout_microseconds: 10",
                "allow_timeout_override: true", "max_queue_size: 4", "max_queue_size: -1", "timeout_action: 9"),
    ),
    "priority_queue_policy": _batching(
        *(f"priority_levels: 2 default_priority_level: 1 priority_queue_policy {{ key: {key} value {{ max_queue_size: 1 }} }}" for key in (0, 1, 2, 3, -1)),
        "priority_queue_policy { key: 3 value { max_queue_size: 1 } }", "priority_queue_policy { key: 0 value { } }",
    ),
    "controls": (
        *(piece for kind in _BOOLEAN for piece in _controls(
            _control(kind, "fp32_false_true: [ 0, 1 ]"), _control(kind, ""), _control(kind, "fp32_false_true: [ 0 ]"),
            _control(kind, "fp32_false_true: [ 0, 1, 2 ]"), _control(kind, "fp32_false_true: [ 0, 1 ] int32_false_true: [ 0, 1 ]"),
        )),
        *_controls(_control("START", "int32_false_true: [ 0, 1 ]"), _control("START", "int32_false_true: [ 0 ]"), inputs=("c INT32",)),
        *_controls(_control("START", "bool_false_true: [ false, true ]"), _control("START", "bool_false_true: [ true ]"), inputs=("c BOOL",)),
        *_controls(_control("START", "fp32_false_true: [ 0, 1 ]"), _control("START", "int32_false_true: [ 0, 1 ]"), inputs=("c INT64",)),
        *_controls(
            _control("START", "fp32_false_true: [ 1, 0 ]"), _control("START", "fp32_false_true: [ 0, 1 ] data_type: TYPE_FP32"),
            2 * _control("START", "fp32_false_true: [ 0, 1 ]"),
            _control("START", "fp32_false_true: [ 0, 1 ]") + _control("END", "fp32_false_true: [ 0, 1 ]"),
            _control("START", "fp32_false_true: [ 0, 1 ]") + _control("END", ""), "", "control { kind: 9 }",
        ),
        *_controls(_control("START", "fp32_false_true: [ 0, 1 ]"), inputs=()),
        Piece('sequence_batching { control_input { name: "c" control { fp32_false_true: [ 0, 1 ] } } control_input { name: "c" control { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } } }', ("c FLOAT",)),
        Piece('sequence_batching { control_input { name: "c" control { fp32_false_true: [ 0, 1 ] } } control_input { name: "d" control { fp32_false_true: [ 0, 1 ] } } }', ("c FLOAT", "d FLOAT")),
        Piece('sequence_batching { control_input { name: "c" control { fp32_false_true: [ 0, 1 ] } } control_input { name: "d" control { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } } }', ("c FLOAT", "d FLOAT")),
        Piece('sequence_batching { control_input { name: "x" control { fp32_false_true: [ 0, 1 ] } } }'),
        Piece("sequence_batching { control_input { control { fp32_false_true: [ 0, 1 ] } } }"),
    ),
    "correlation": (
        *(
            Piece(f'sequence_batching {{ control_input {{ name: "c" {_control("CORRID", f"data_type: TYPE_{own}")} }} }}', (f"c {onnx}",))
            for own, onnx in (("UINT64", "UINT64"), ("INT64", "INT64"), ("UINT32", "UINT32"), ("INT32", "INT32"), ("STRING", "STRING"),
                              ("FP32", "FLOAT"), ("INT16", "INT16"), ("UINT64", "INT64"))
        ),
        *_controls(_control("CORRID", ""), _control("CORRID", "data_type: TYPE_UINT64 int32_false_true: [ 0, 1 ]"), inputs=("c UINT64",)),
    ),
    "direct": _sequence(
        "direct { }", "direct { max_queue_delay_microseconds: 5 }", "direct { minimum_slot_utilization: 0.5 }", "direct { minimum_slot_utilization: 1.5 }",
        "direct { minimum_slot_utilization: -0.1 }", "direct { minimum_slot_utilization: nan }", "direct { minimum_slot_utilization: 1 }",
        "max_sequence_idle_microseconds: 0", "max_sequence_idle_microseconds: 18446744073709551615", "iterative_sequence: true",
        "direct { } iterative_sequence: true",
    ),
    "oldest": _sequence(
        "oldest { }", "oldest { max_candidate_sequences: 4 }", "oldest { max_candidate_sequences: -1 }", "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 4 ] }",
        "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 9 ] }", "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 0 ] }",
        "oldest { max_candidate_sequences: 4 max_queue_delay_microseconds: 7 }", "oldest { max_candidate_sequences: 4 preserve_ordering: true }",
        "direct { } oldest { }", "oldest { max_candidate_sequences: 4 } iterative_sequence: true",
    ),
    "state": _state(
        _STATE, f"{_STATE} use_same_buffer_for_input_output: true", f"{_STATE} use_growable_memory: true",
        f'{_STATE} initial_state {{ data_type: TYPE_FP32 dims: [ 1 ] zero_data: true name: "i" }}',
        f'{_STATE} initial_state {{ data_type: TYPE_FP32 dims: [ 1 ] data_file: "missing" name: "i" }}',
        f"{_STATE} initial_state {{ data_type: TYPE_FP32 dims: [ 1 ] }}", f"{_STATE} initial_state {{ data_type: TYPE_INT32 dims: [ 2 ] zero_data: true }}",
        'input_name: "s"', "",
    ),
    "default_model_filename": texts(
        'default_model_filename: "model.onnx"', 'default_model_filename: "other.onnx"', 'default_model_filename: "./model.onnx"',
        'default_model_filename: "../1/model.onnx"', 'default_model_filename: ""', 'default_model_filename: "model.plan"',
    ),
    "cc_model_filenames": texts('cc_model_filenames { key: "7.5" value: "model.onnx" }', 'cc_model_filenames { key: "8.0" value: "none.onnx" }'),
    "metric_tags": texts('metric_tags { key: "a" value: "b" }', 'metric_tags { key: "" value: "" }', *(f'metric_tags {{ key: "{key}" value: "v" }}' for key in ("a b", "1a", "a-b", "a:b", "__a", "_", "model", "version", "gpu_uuid", "le", "ä")), 'metric_tags { key: "a" value: "\\"\\n\\\\" }'),
    "parameters": texts(
        *(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in (
            ("a", "b"), ("", ""), ("intra_op_thread_count", "2"), ("intra_op_thread_count", "two"), ("intra_op_thread_count", ""),
            ("inter_op_thread_count", "1"), ("execution_mode", "1"), ("execution_mode", "2"), ("enable_mem_arena", "true"), ("enable_mem_arena", "maybe"),
            ("enable_mem_pattern", "0"), ("memory.enable_memory_arena_shrinkage", "cpu:0"), ("TRITON_BATCH_STRATEGY_PATH", "/nowhere.so"),
            ("MAX_BATCH_VOLUME_BYTES", "96"), ("EXECUTION_ENV_PATH", "/nowhere.tar.gz"),
        )),
        'parameters { key: "a" value { } }', 'parameters { key: "a" } parameters { key: "a" }',
    ),
    "warm-up": (
        *_sample(
            f"{_SAMPLE} zero_data: true", f"{_SAMPLE} random_data: true", f"{_SAMPLE} zero_data: false", f"{_SAMPLE} random_data: false",
            f'{_SAMPLE} input_data_file: "missing"', f'{_SAMPLE} input_data_file: ""', f'{_SAMPLE} input_data_file: "../config.pbtxt"', _SAMPLE,
            f"{_SAMPLE} zero_data: true random_data: true",
            "data_type: TYPE_FP32 dims: [ 5 ] zero_data: true", "data_type: TYPE_FP32 dims: [ -1 ] zero_data: true", "data_type: TYPE_FP32 zero_data: true",
            "dims: [ 4 ] zero_data: true", "data_type: TYPE_FP32 dims: [ 2, 4 ] zero_data: true", "data_type: TYPE_INT32 dims: [ 4 ] zero_data: true",
            "data_type: TYPE_STRING dims: [ 4 ] zero_data: true", "data_type: TYPE_STRING dims: [ 4 ] random_data: true", "data_type: TYPE_FP32 dims: [ 0 ] zero_data: true",
        ),
        *texts(
            f'model_warmup {{ name: "w" batch_size: 8 {_FED} count: 2 }}', f'model_warmup {{ name: "w" batch_size: 0 {_FED} }}',
            f'model_warmup {{ name: "w" batch_size: 9 {_FED} }}', f'model_warmup {{ name: "w" {_FED} }}', f"model_warmup {{ batch_size: 1 {_FED} }}",
            f'model_warmup {{ name: "w" batch_size: 1 {_FED} count: 0 }}', "model_warmup { }", 'model_warmup { name: "w" batch_size: 1 }',
            f'model_warmup {{ name: "w" batch_size: 1 {_FED} }} model_warmup {{ name: "w" batch_size: 1 {_FED} }}',
            f'model_warmup {{ name: "w" batch_size: 1 {_FED} {_FED.replace("x", "z")} }}', f'model_warmup {{ name: "w" batch_size: 1 {_FED.replace("x", "z")} }}',
            f'model_warmup {{ name: "w" batch_size: -1 {_FED} }}',
        ),
    ),
    "operations": texts("model_operations { }", 'model_operations { op_library_filename: "nothing.so" }'),
    "transaction": texts("model_transaction_policy { }", "model_transaction_policy { decoupled: true }", "model_transaction_policy { decoupled: false }"),
    "agents": texts(
        "model_repository_agents { }", 'model_repository_agents { agents { name: "checksum" } }', 'model_repository_agents { agents { name: "nothing" } }',
        "model_repository_agents { agents { } }", 'model_repository_agents { agents { name: "checksum" parameters { key: "MD5:1/model.onnx" value: "0" } } }',
    ),
    "cache": texts("response_cache { }", "response_cache { enable: true }", "response_cache { enable: false }"),
    "metrics": (
        *texts("model_metrics { }"),
        *_metric(
            'metric_identifier { family: "nv_inference_first_response_histogram_ms" } histogram_options { buckets: [ 1, 2 ] }',
            'metric_identifier { family: "" } histogram_options { buckets: [ 1 ] }', "histogram_options { buckets: [ 1 ] }", "",
        ),
    ),
    "ensemble_scheduling": texts("ensemble_scheduling { }", "ensemble_scheduling { max_inflight_requests: 2 }"),
}  # fmt: skip

_RESHAPES = (
    "",
    "shape: [ 4 ]",
    "shape: [ 2, 2 ]",
    "shape: [ 1, 4 ]",
    "shape: [ 3 ]",
    "shape: [ 0 ]",
    "shape: [ -1 ]",
    "shape: [ -1, 4 ]",
    "shape: [ -2 ]",
)
_TENSOR: dict[str, Family] = {
    "reshape": texts(*(f"reshape {{ {shape} }}" for shape in _RESHAPES)),
    "shape_tensor": texts("is_shape_tensor: false", "is_shape_tensor: true"),
    "non_linear": texts("is_non_linear_format_io: false", "is_non_linear_format_io: true"),
    "more_dims": texts("dims: 1", "dims: -1", "dims: 0", "dims: 9223372036854775807", "dims: 9223372036854775808"),
}

# Inside of the input, after name, data_type and dims.
INPUT: dict[str, Family] = {
    **_TENSOR,
    "format": texts("format: FORMAT_NONE", "format: FORMAT_NHWC", "format: FORMAT_NCHW", "format: 3", "format: FORMAT_NCHW dims: 1 dims: 1"),
    "ragged": texts("allow_ragged_batch: false", "allow_ragged_batch: true"),
    "optional": texts("optional: false", "optional: true"),
}  # fmt: skip

# Inside of the output.
OUTPUT: dict[str, Family] = {
    **_TENSOR,
    "label": texts(
        *(
            f'label_filename: "{name}"'
            for name in ("", "missing.txt", "config.pbtxt", "../m/config.pbtxt", "1", "1/model.onnx")
        )
    ),
}

# The data_type of the input or the output, instead of what the model file has.
TYPES = (*messages().DataType.keys(), "99")

# Inside of the instance group, instead of `count: 1 kind: KIND_CPU`.
GROUP: dict[str, Family] = {
    "kind": texts(
        *(f"count: 1 kind: KIND_{kind}" for kind in ("AUTO", "CPU", "MODEL", "GPU")), "count: 1 kind: 4", "", "kind: KIND_CPU",
        "kind: KIND_CPU count: 0", "kind: KIND_CPU count: -1", "kind: KIND_CPU count: 3", "kind: KIND_CPU count: 2147483648",
    ),
    "gpus": texts("kind: KIND_AUTO gpus: [ 0 ]", "kind: KIND_CPU gpus: [ 0 ]", "kind: KIND_MODEL gpus: [ 0 ]", "kind: KIND_GPU gpus: [ 0 ]"),
    "group_name": texts('name: "g" kind: KIND_CPU', 'name: "" kind: KIND_CPU'),
    "profile": texts('kind: KIND_CPU profile: "0"', 'kind: KIND_CPU profile: ""', 'kind: KIND_CPU profile: "a"'),
    "passive": texts("kind: KIND_CPU passive: true", "kind: KIND_CPU passive: false"),
    "host_policy": texts('kind: KIND_CPU host_policy: "p"', 'kind: KIND_CPU host_policy: ""'),
    "secondary": texts("kind: KIND_CPU secondary_devices { kind: KIND_NVDLA device_id: 0 }", "kind: KIND_CPU secondary_devices { device_id: -1 }", "kind: KIND_CPU secondary_devices { kind: 5 }"),
    "rate_limiter": texts(*(f"kind: KIND_CPU rate_limiter {{ {text} }}" for text in (
        "", "priority: 0", "priority: 4294967295", "priority: -1", 'resources { name: "r1" count: 1 }', 'resources { name: "r2" global: true count: 1 }',
        "resources { count: 1 }", 'resources { name: "r3" }', 'resources { name: "r4" count: 4294967295 }', 'resources { name: "r5" count: -1 }',
        'resources { name: "r6" count: 1 } resources { name: "r6" global: true count: 1 }', 'resources { name: "r7" count: 1 } resources { name: "r7" count: 2 }',
    ))),
}  # fmt: skip

# A second instance group.
MODEL["instance_group"] = texts(
    "instance_group { count: 1 kind: KIND_CPU }", "instance_group { }", 'instance_group { name: "g" kind: KIND_CPU } instance_group { name: "g" kind: KIND_CPU }',
    *(f'instance_group {{ kind: KIND_CPU rate_limiter {{ resources {{ name: "s{number}" {one} }} }} }} instance_group {{ kind: KIND_CPU rate_limiter {{ resources {{ name: "s{number}" {other} }} }} }}'
      for number, (one, other) in enumerate((("count: 1", "count: 2"), ("count: 1 global: true", "count: 1"), ("count: 1", "count: 1 global: true"), ("count: 1 global: true", "count: 1 global: true")))),
)  # fmt: skip

# In the first of an ensemble's two steps.
STEP: dict[str, Family] = {
    "version": texts(*(f"model_version: {version}" for version in (-2, 0, 1, 2))),
    "namespace": texts('model_namespace: "n"', 'model_namespace: ""'),
    "input_map": texts(
        'input_map { key: "x" value: "other" }', 'input_map { key: "z" value: "in" }', 'input_map { key: "" value: "" }'
    ),
    "output_map": texts(
        'output_map { key: "y" value: "other" }',
        'output_map { key: "z" value: "more" }',
        'output_map { key: "" value: "" }',
    ),
    "step": texts(
        '} step { model_name: "m" model_version: -1 input_map { key: "x" value: "in" } output_map { key: "y" value: "more" }'
    ),
}

# Of an ensemble, beside its steps.
SCHEDULING: dict[str, Family] = {"inflight": texts("max_inflight_requests: 2", "max_inflight_requests: 0")}

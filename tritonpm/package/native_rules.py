"""What Triton's own C++ backends refuse of a config and its model: one rule for import, lint and rendering.

A config is protobuf's JSON with the names of the .proto. Our own backends are kinder in what docs/backends.md lists.
Source: what the native onnxruntime and openvino backends of r24.10 and r26.06 answered to 287 folders (tests/native),
and Triton's model configuration document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Dims = Sequence[int]  # -1 for a dynamic one
Config = Mapping[str, Any]
Problem = tuple[str, str]  # (path of the field, sentence)
DEFAULT_MAX_BATCH_SIZE = 4  # Triton's default-max-batch-size

_WHOLE = re.compile(r"\s*([+-]?\d+)")  # what C++'s stoi takes a number from
_INT = range(-(1 << 31), 1 << 31)
_BOOLEANS = ("true", "1", "false", "0")
_OPENVINO_TYPES = frozenset(
    f"TYPE_{name}"
    for name in ("BOOL", "FP16", "FP32", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))
)
_COUNTS = ("execution_mode", "inter_op_thread_count", "intra_op_thread_count")
_SWITCHES = ("enable_mem_arena", "enable_mem_pattern")
_CHOICES = {  # of the openvino backend, which writes what it is given in small letters first
    "HINT_BF16": (r"yes", "YES"),
    "NUM_STREAMS": (r"auto|numa|\s*\+?\d.*", "AUTO, NUMA or a number from 0"),
    "INFERENCE_NUM_THREADS": (r"\s*\+?\d.*", "a number from 0"),
    "PERFORMANCE_HINT": (r"latency|throughput|cumulative_throughput", "LATENCY, THROUGHPUT or CUMULATIVE_THROUGHPUT"),
}


class Told(NamedTuple):
    """A tensor as the model file tells it: config dtype, dims (None: unknown rank) and layout ("" or as "NCHW").

    `bounds` are (place, least, most) of dims that are open and have a largest.
    """

    dtype: str
    dims: Dims | None
    layout: str = ""
    bounds: tuple[tuple[int, int, int], ...] = ()


class FileTensors(NamedTuple):
    """The tensors of a model file by name; `initializers` are inputs that have a value of their own.

    `inferred` says that the outputs' dims are those that the runtime infers, which the file may leave open.
    """

    inputs: Mapping[str, Told]
    outputs: Mapping[str, Told]
    initializers: Mapping[str, Told] = {}
    inferred: bool = False


def problems(backend: str, config: Config, model: FileTensors | None, *, embedded: bool = False) -> Iterator[Problem]:
    """What the native backend refuses, most telling first; without `model` only what the config alone tells.

    `embedded` leaves out what it refuses for want of a feature that our Python-based one has: OpenVINO's FP64, BF16,
    text and scalars.
    """
    if backend == "onnxruntime":
        yield from _onnxruntime_parameters(config)
        if model is not None:
            yield from _onnxruntime(config, model)
    elif backend == "openvino":
        yield from _openvino_parameters(config)
        if not embedded:
            yield from _openvino_choosing(config)
        yield from _openvino_groups(config)
        yield from _openvino_types(config, embedded)
        if model is not None:
            yield from _openvino(config, model, embedded)


def said(tensor: Config) -> list[int]:
    """A config's dims as the backend sees them, after `reshape`; protobuf's JSON has them as text or numbers."""
    return [
        int(size) for size in (tensor["reshape"].get("shape", ()) if "reshape" in tensor else tensor.get("dims", ()))
    ]


def _parameters(config: Config) -> Iterator[tuple[str, str]]:
    for name, value in config.get("parameters", {}).items():
        yield name, str(value.get("string_value", ""))


def _onnxruntime_parameters(config: Config) -> Iterator[Problem]:
    for name, text in _parameters(config):
        number = _number(text) if name in _COUNTS else 0
        if number is None:
            yield "parameters", f"the parameter {name} is {text!r}, which is not a number"
        elif name == "execution_mode" and number not in (0, 1):
            yield "parameters", f"the parameter execution_mode is {text!r}: it is 0 (sequential) or 1 (parallel)"
        elif name in _SWITCHES and text.lower() not in _BOOLEANS:
            yield "parameters", f"the parameter {name} is {text!r}: it is true, 1, false or 0"


def _number(text: str) -> int | None:
    """What C++'s stoi makes of a text; None where it throws."""
    found = _WHOLE.match(text)
    return int(found[1]) if found and int(found[1]) in _INT else None


def _openvino_parameters(config: Config) -> Iterator[Problem]:
    for name, text in _parameters(config):
        if name == "COMPILATION_NUM_THREADS":
            yield "parameters", "OpenVINO does not take the parameter COMPILATION_NUM_THREADS"
        elif name in _CHOICES and text:
            pattern, expected = _CHOICES[name]
            if not re.fullmatch(pattern, text.lower()):
                yield "parameters", f"the parameter {name} is {text!r}: it is {expected}"


def _openvino_choosing(config: Config) -> Iterator[Problem]:
    """What a device that chooses among others is not told: refused since 25, silently taken in 24.10."""
    parameters = {name: text for name, text in _parameters(config) if text}
    plugin = parameters.get("TARGET_DEVICE", "").upper().partition(":")[0]
    for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS", "HINT_BF16"):
        if plugin == "AUTO" and name in parameters:
            yield "parameters", f"OpenVINO's AUTO does not take the parameter {name}"


def _openvino_groups(config: Config) -> Iterator[Problem]:
    for number, group in enumerate(config.get("instance_group", ())):
        if (kind := group.get("kind")) in ("KIND_GPU", "KIND_MODEL"):
            yield f"instance_group[{number}]", f"the openvino backend takes KIND_CPU and KIND_AUTO only, not {kind}"


def _openvino_types(config: Config, embedded: bool) -> Iterator[Problem]:
    for kind in ("input", "output"):
        for number, tensor in enumerate(config.get(kind, ())):
            place, dtype = f"{kind}[{number}]", tensor.get("data_type", "")
            if tensor.get("optional"):
                yield (
                    place,
                    f"the input {tensor.get('name', '')!r} is optional, which the openvino backend does not know",
                )
            if dtype and dtype not in _OPENVINO_TYPES and not embedded:
                yield (
                    place,
                    f"the {kind} {tensor.get('name', '')!r} is {dtype}, which the openvino backend does not take",
                )


def _onnxruntime(config: Config, model: FileTensors) -> Iterator[Problem]:
    size, entries = completed_batch(config, model), config.get("input", ())
    if config.get("max_batch_size", 0) > 0 and not (entries and config.get("output")) and not batches(model):
        yield "max_batch_size", "the model file takes no batches, so max_batch_size must be 0"
        return
    controls = _controls(config)
    for name, dtypes in controls.items():
        told = model.inputs.get(name)
        if told is None:
            yield "sequence_batching", f"the control input {name!r} is not in the model file"
        elif told.dims is not None and list(told.dims)[1 if size else 0 :] != [1]:
            shapes = f"{list(told.dims)} in the model file, not {'[-1, 1]' if size else '[1]'}"
            yield "sequence_batching", f"the control input {name!r} has the shape {shapes}"
        for dtype in dtypes:
            if told is not None and dtype != told.dtype:
                sentence = f"the control input {name!r} is {dtype}, but {told.dtype} in the model file"
                yield "sequence_batching", sentence
    needed = sum(not tensor.get("optional") for tensor in entries) if entries else len(model.inputs)
    filled = [*controls, *_states(config), *_batch_inputs(config)]
    if entries and needed + len(filled) != len(model.inputs):
        yield "input", _count(needed + len(filled), model)
    known = _ranked({**model.initializers, **model.inputs})
    outputs = _ranked(model.outputs) if model.inferred else model.outputs
    yield from _tensors(config, "input", known, size, _agrees)
    scattered = {name for batch in config.get("batch_output", ()) for name in batch.get("target_name", ())}
    entries = [
        {field: value for field, value in entry.items() if field != "dims" or entry.get("name") not in scattered}
        for entry in config.get("output", ())
    ]
    yield from _tensors({"output": entries}, "output", outputs, size, int.__eq__ if model.inferred else _agrees)


def _ranked(tensors: Mapping[str, Told]) -> dict[str, Told]:
    """ONNX Runtime tells a tensor without a rank as it tells a scalar."""
    return {name: told._replace(dims=()) if told.dims is None else told for name, told in tensors.items()}


def batches(model: FileTensors) -> bool:
    """Whether every input and output has a dynamic first dimension, which the onnxruntime backend takes for a batch."""
    tensors = (*model.inputs.values(), *model.outputs.values())
    return all(tensor.dims is None or list(tensor.dims[:1]) == [-1] for tensor in tensors)


def completed_batch(config: Config, model: FileTensors) -> int:
    """max_batch_size once the onnxruntime backend has completed the config."""
    size: int = config.get("max_batch_size", 0)
    whole = config.get("input") and config.get("output")
    return size if size or whole or not batches(model) else DEFAULT_MAX_BATCH_SIZE


def _controls(config: Config) -> dict[str, list[str]]:
    """The inputs that Triton fills with a sequence's controls, and the controls' dtypes; others are not looked for."""
    entries = config.get("sequence_batching", {}).get("control_input", ())
    return {
        entry.get("name", ""): [_control_dtype(control) for control in entry["control"]]
        for entry in entries
        if any(isinstance(control.get("kind", ""), str) for control in entry.get("control", ()))
    }


def _control_dtype(control: Config) -> str:
    """Written out, or that of the values for false and true."""
    values = (f"TYPE_{name}" for name in ("INT32", "FP32", "BOOL") if control.get(f"{name.lower()}_false_true"))
    return next(values, str(control.get("data_type", "")))


def _batch_inputs(config: Config) -> list[str]:
    return [name for batch in config.get("batch_input", ()) for name in batch.get("target_name", ())]


def _states(config: Config) -> list[str]:
    return [state.get("input_name", "") for state in config.get("sequence_batching", {}).get("state", ())]


def _openvino(config: Config, model: FileTensors, embedded: bool) -> Iterator[Problem]:
    size: int = config.get("max_batch_size", 0)
    entries = config.get("input", ())
    if entries and len(entries) != len(model.inputs):
        yield "input", _count(len(entries), model)
    for kind, told in (("input", model.inputs), ("output", model.outputs)):
        if not config.get(kind):
            yield from _openvino_completed(kind, told, size, embedded)
    yield from _openvino_layouts(config, model)
    first = 1 if size > 0 else 0  # the batch is set by the backend, whatever the file says
    for kind, told in (("input", model.inputs), ("output", model.outputs)):
        # With batching, what an input's config leaves open is not compared.
        agree = _takes if first and kind == "input" else _agrees
        free = {
            name: tensor._replace(dims=[-1, *tensor.dims[1:]]) if first and tensor.dims else tensor
            for name, tensor in told.items()
        }
        yield from _tensors(config, kind, free, size, agree, typed=False, scalars=embedded)
    for name, tensor in model.inputs.items() if entries else ():
        if tensor.dims is None:
            yield "", f"the input {name!r} has no rank in the model file, which OpenVINO does not run"
    if not embedded:
        yield from _openvino_bounds(config, model)


def _openvino_bounds(config: Config, model: FileTensors) -> Iterator[Problem]:
    """An open dim that has a largest takes sizes between its least and that one alone, and not -1; of a batch any."""
    batched = config.get("max_batch_size", 0) > 0
    for number, entry in enumerate(config.get("input", ())):
        told = model.inputs.get(entry.get("name", ""))
        dims = ([-1] if batched else []) + said(entry) if "dims" in entry else []
        for place, least, most in told.bounds if told and len(dims) == len(told.dims or ()) else ():
            dim = dims[place]
            if not least < dim < most and not (batched and dim == -1):
                file, name = f"{least}..{most}", entry["name"]
                sentence = f"dim {place + 1} of the input {name!r} is {file} in the model file, and {dim} in the config"
                yield f"input[{number}]", sentence


def _openvino_completed(kind: str, told: Mapping[str, Told], size: int, embedded: bool) -> Iterator[Problem]:
    """What the openvino backend makes of a side that the config leaves out: all dims dynamic where one is."""
    for name, tensor in told.items():
        dims = list(tensor.dims or ())
        if embedded and (tensor.dtype not in _OPENVINO_TYPES or not dims):
            continue
        if tensor.dtype not in _OPENVINO_TYPES:
            yield "", f"the {kind} {name!r} is {tensor.dtype}, which the openvino backend does not take"
        elif not dims[1 if size > 0 else 0 :] or (-1 in dims and any(dim != -1 for dim in dims)):
            yield (
                "",
                f"the openvino backend needs the dims of the {kind} {name!r} in the config, {dims} in the model file",
            )


def _openvino_layouts(config: Config, model: FileTensors) -> Iterator[Problem]:
    """A batch that the IR's layouts name, on every tensor, is one for the backend, whatever max_batch_size says."""
    size, whole = config.get("max_batch_size", 0), config.get("input") and config.get("output")
    tensors = {**model.inputs, **model.outputs}
    named = all("N" in tensor.layout for tensor in tensors.values())
    for name, tensor in tensors.items():
        if size > 0 and tensor.layout and not tensor.layout.startswith("N"):
            yield "max_batch_size", f"the layout {tensor.layout} of {name!r} does not start with the batch, N"
        elif not size and named and (whole or -1 in (tensor.dims or ())):
            yield "max_batch_size", f"the layouts, such as {tensor.layout}, have a batch: max_batch_size must not be 0"


def _tensors(
    config: Config,
    kind: str,
    known: Mapping[str, Told],
    size: int,
    agree: Callable[[int, int], bool],
    *,
    typed: bool = True,
    scalars: bool = True,
) -> Iterator[Problem]:
    """Each entry of the config against the file.

    `typed`: the types must be the same, not only convertible, and what is ragged is looked at; `scalars` are taken.
    """
    for number, entry in enumerate(config.get(kind, ())):
        place, name = f"{kind}[{number}]", entry.get("name", "")
        if name not in known:
            yield place, f"the {kind} {name!r} is not in the model file, which has {', '.join(known)}"
            continue
        told, dtype = known[name], entry.get("data_type", "")
        if typed and dtype and dtype != told.dtype:
            yield place, f"the {kind} {name!r} is {dtype}, but {told.dtype} in the model file"
        elif sentence := _shape(entry, kind, told.dims, size, agree, ragged=typed, scalars=scalars):
            yield place, sentence


def _shape(
    entry: Config,
    kind: str,
    dims: Dims | None,
    size: int,
    agree: Callable[[int, int], bool],
    *,
    ragged: bool,
    scalars: bool,
) -> str:
    if dims is None or "dims" not in entry:
        return ""
    subject, own, file = f"the {kind} {entry.get('name', '')!r}", said(entry), list(dims)
    if ragged and entry.get("allow_ragged_batch"):
        return "" if file == [-1] else f"{subject} is ragged, but has the shape {file} and not [-1] in the model file"
    if scalars and not file and all(dim == 1 for dim in own):  # a scalar, which a config can only call one element
        return ""
    full = [-1, *own] if size > 0 else own
    fits = len(full) == len(file) and all(map(agree, file, full))
    return "" if fits else f"{subject} has the shape {full}, but {file} in the model file"


def _agrees(file: int, configured: int) -> bool:
    return file in (-1, configured)


def _takes(file: int, configured: int) -> bool:
    return -1 in (file, configured) or file == configured


def _count(given: int, model: FileTensors) -> str:
    names = ", ".join(model.inputs)
    return f"every request brings {given} inputs by the config, and {len(model.inputs)} by the model file ({names})"

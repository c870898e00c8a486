"""The config.pbtxt of an adopted Triton model folder: read, checked, and what it says of the model's tensors.

Source: Triton's ModelConfig protobuf and its `model_configuration` document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.types import Format, Shape, Signature, Tensor, config_dtype, dims, protocol_dtype
from tritonpm.package.code import RUNNING_BACKENDS, code_in_parameters
from tritonpm.package.limits import Limits
from tritonpm.package.native_rules import FileTensors, Problem, Told, completed_batch, problems
from tritonpm.package.paths import is_name, problem

FILE = "config.pbtxt"
_VARIANT = re.compile(r"configs/([A-Za-z0-9_][A-Za-z0-9_.-]*)\.pbtxt")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")  # of a backend or accelerator: Triton makes a path of it
_QUOTED = r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*)"""  # and comments: what is no number
_APART = re.compile(rf"{_QUOTED}|-\s+(?=[\w.])")
_MINUS_ZERO = re.compile(rf"{_QUOTED}|-0+(?:[xX]0+)?(?![\w.])")
PLATFORMS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "pytorch_libtorch": "pytorch",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
}
_FORMATS = {
    "onnxruntime": Format.ONNX, "onnxruntime_onnx": Format.ONNX, "openvino": Format.OPENVINO,
    "tensorrt": Format.TENSORRT, "tensorrt_plan": Format.TENSORRT,
    "pytorch": Format.TORCHSCRIPT, "pytorch_libtorch": Format.TORCHSCRIPT, "torch_aoti": Format.TORCH_EXPORT,
}  # fmt: skip


def parse(raw: bytes, where: str) -> Any:
    """The ModelConfig in these bytes. Raises PackageError with line and column, as far as they are known."""
    try:
        config = parsed(raw.decode("utf-8"), where)
    except UnicodeDecodeError:
        raise PackageError("is not UTF-8", where=where, do="save it as UTF-8") from None
    _check_words(config, where)
    _check(config, where)
    return config


def parsed(text: str, where: str) -> Any:
    """The ModelConfig of a text, whatever it says. Raises PackageError as `parse`."""
    from google.protobuf.text_format import ParseError

    try:
        return of_text(text)
    except (ParseError, RecursionError, ValueError) as error:  # too deep; a number that no field holds
        reason = str(error).splitlines()[0][:200]
        raise PackageError(f"is not a model configuration ({reason})", where=where, do="correct it") from None


def of_text(text: str) -> Any:
    """As Triton's parser reads it: blanks may follow a minus, which no number without a sign may have, not even 0.

    Raises google.protobuf.text_format.ParseError, RecursionError, ValueError.
    """
    from google.protobuf.text_format import Parse
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    text = _APART.sub(lambda match: match[1] or "-", text)
    if (signed := _MINUS_ZERO.sub(lambda match: match[1] or "-1", text)) != text:
        Parse(signed, ModelConfig())  # Python's parser refuses -1 there, and takes -0
    return Parse(text, ModelConfig())


def _check_words(message: Any, where: str) -> None:
    """Raise where a number stands for a word that there is not: the text format takes any, Triton's enums have few."""
    for field, value in message.ListFields():
        values = _values(value)
        if field.enum_type and (unknown := set(values) - set(field.enum_type.values_by_number)):
            what = f"gives {field.name} as {min(unknown)}, which is not valid"
            raise PackageError(what, where=where, do="correct it")
        for inner in values:
            if hasattr(inner, "ListFields"):
                _check_words(inner, where)


def _values(value: Any) -> list[Any]:
    """What a field holds, be it repeated, a map or neither."""
    if isinstance(value, (str, bytes, int, float)) or hasattr(value, "ListFields"):
        return [value]
    return [value[key] for key in value] if hasattr(value, "keys") else list(value)


def _check(config: Any, where: str) -> None:
    name = config.name
    if name and (name in (".", "..") or "/" in name or not name.isprintable() or not name.strip()):
        raise UnsafeError(f"names the model {name!r}, which is not a name", where=where, do="correct it")
    for member in steps(config):
        if not is_name(member):
            raise UnsafeError(f"names the member {member!r}, which is not a name", where=where, do="correct it")
    for kind, named in _named(config):
        if named and not _NAME.fullmatch(named):
            raise UnsafeError(f"names the {kind} {named!r}, which is not a name", where=where, do="correct it")
    counts = [config.max_batch_size, *(group.count for group in config.instance_group)]
    if any(count < 0 for count in counts) or any(size < 1 for size in config.dynamic_batching.preferred_batch_size):
        raise PackageError("holds a negative count or batch size", where=where, do="correct it")
    for tensor in (*config.input, *config.output):
        for sizes in (tensor.dims, tensor.reshape.shape):
            if any(size == 0 or size < -1 for size in sizes) or prod(size for size in sizes if size > 0) >= 1 << 63:
                raise PackageError(f"gives {tensor.name!r} dims that are 0, below -1 or too large", where=where,
                                   do="correct it")  # fmt: skip


def is_ensemble(config: Any) -> bool:
    """Whether it joins other models and has none of its own."""
    return bool(config.platform == "ensemble" or config.HasField("ensemble_scheduling"))


def steps(config: Any) -> tuple[str, ...]:
    """The models that an ensemble is made of, each once; none of any other model."""
    return tuple(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))


def variant_of(path: str) -> str:
    """For which hardware (`--model-config-name`) a file of a model's folder is a config; "": it is none."""
    match = _VARIANT.fullmatch(path)
    return match[1] if match else ""


def model_files(config: Any) -> list[str]:
    """The names under which a version's model may lie, the plain one last; "" is the backend's default."""
    named = sorted(set(config.cc_model_filenames.values()))
    return [*named, config.default_model_filename] if config.default_model_filename or not named else named


def named_files(config: Any, root: str, files: set[str], where: str, limits: Limits) -> set[str]:
    """The files beside the version folders that the config names, by package path.

    Raises UnsafeError where it names one outside the model's folder, PackageError where one is not there.
    """
    for kind, path, must_exist in _files(config):
        if reason := problem(path, limits):
            raise UnsafeError(f"its {kind} {path!r} {reason}", where=where, do="keep it in the model's folder")
        if must_exist and root + path not in files:
            raise PackageError(f"its {kind} {path!r} is not there", where=where, do="add the file")
    return {root + path for _, path, must_exist in _files(config) if must_exist}


def _files(config: Any) -> Iterator[tuple[str, str, bool]]:
    """(what it is, its path in the model's folder, whether it must be there)"""
    if config.default_model_filename:
        yield "model file", config.default_model_filename, False
    yield from (("model file", path, False) for path in config.cc_model_filenames.values())
    for tensor in config.output:
        if tensor.label_filename:
            yield "label file", tensor.label_filename, True
    for warmup in config.model_warmup:
        for tensor in warmup.inputs.values():
            if tensor.input_data_file:
                yield "warmup file", f"warmup/{tensor.input_data_file}", True
    for state in config.sequence_batching.state:
        for initial in state.initial_state:
            if initial.data_file:
                yield "initial state file", f"initial_state/{initial.data_file}", True


def _named(config: Any) -> Iterator[tuple[str, str]]:
    """(what it is, its name) of all that Triton looks up by its name."""
    yield from (("backend", config.backend), ("platform", config.platform))
    yield from (("accelerator", accelerator.name) for accelerator in accelerators(config))
    yield from (("host policy", group.host_policy) for group in config.instance_group)


def accelerators(config: Any) -> list[Any]:
    """The execution accelerators that a config asks for, those of GPUs first."""
    listed = config.optimization.execution_accelerators
    return [*listed.gpu_execution_accelerator, *listed.cpu_execution_accelerator]


def code_in(config: Any) -> list[str]:
    """What in the config makes Triton run code that the model folder, or somebody else, brings."""
    running = {kind: name for kind, name in _named(config) if kind in ("backend", "platform") and _runs(name)}
    reasons = [f"{kind} {name}" for kind, name in running.items()]
    reasons += [f"runtime {config.runtime}"] if config.runtime else []
    reasons += [f"repository agent {agent.name}" for agent in config.model_repository_agents.agents]
    reasons += [f"op_library_filename {name}" for name in config.model_operations.op_library_filename]
    reasons += code_in_parameters({name: value.string_value for name, value in config.parameters.items()})
    return reasons + [reason for entry in accelerators(config) for reason in code_in_parameters(entry.parameters)]


def _runs(name: str) -> bool:
    """Whether a backend or platform (`tensorrt_plan`: the backend and its format) runs what a package brings."""
    name = name.lower()
    return name in RUNNING_BACKENDS or name.partition("_")[0] in RUNNING_BACKENDS


def format_of(config: Any) -> Format | None:
    """The format that the config's backend serves; None where it leaves that to Triton."""
    backend = config.backend or config.platform
    return _FORMATS.get(backend, Format.OTHER) if backend else None


def backend_of(config: Any) -> str:
    """The backend that Triton takes for a config; "" where it leaves that to the model file, and for an ensemble."""
    return config.backend or PLATFORMS.get(config.platform, "")


def served_versions(config: Any, versions: Sequence[int]) -> tuple[int, ...]:
    """The versions that the version policy picks of those that are there; without a policy the newest."""
    policy = config.version_policy
    if policy.HasField("all"):
        return tuple(versions)
    if policy.HasField("specific"):
        return tuple(sorted(set(policy.specific.versions) & set(versions)))
    return tuple(sorted(versions))[-(policy.latest.num_versions if policy.HasField("latest") else 1) :]


def refusals(
    config: Any, backend: str, model: Signature | None, *, inferred: bool = False, embedded: bool = False
) -> Iterator[Problem]:
    """What Triton's own backend refuses of a config and, where its file tells, of its model: (field, sentence).

    `inferred`: the signature's outputs are those that the runtime infers, not only what the file says; `embedded`: what
    the embedded server's own backends refuse, too.
    """
    file = None if model is None else _told(model, inferred)
    return problems(backend, _given(config), file, embedded=embedded)


def completed_batch_size(config: Any, model: Signature) -> int:
    """max_batch_size once Triton's onnxruntime backend has completed the config."""
    return completed_batch(_given(config), _told(model))


def _given(config: Any) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    given: dict[str, Any] = MessageToDict(config, preserving_proto_field_name=True)
    return given


def _told(model: Signature, inferred: bool = False) -> FileTensors:
    inputs, outputs, overridable = (
        {
            t.name: Told(config_dtype(t.dtype), None if t.shape is None else dims(t.shape), t.layout, t.bounds)
            for t in side
        }
        for side in (model.inputs, model.outputs, model.overridable)
    )
    return FileTensors(inputs, outputs, overridable, inferred)


def signature(config: Any, own: Signature | None, where: str) -> Signature:
    """The tensors as clients see them. Raises PackageError where neither the config nor the model file tells them."""
    sides: list[tuple[Tensor, ...]] = []
    for side in ("input", "output"):
        entries, known = getattr(config, side), getattr(own, f"{side}s") if own else ()
        if not entries and not known and backend_of(config) == "python":
            raise completed_by_itself(where)
        if not entries and not known:
            raise PackageError(f"names no {side}, and the model file does not say", where=where, do="add them")
        sides.append(tuple(_tensor(entry, config.max_batch_size > 0) for entry in entries) or known)
    return Signature(sides[0], sides[1], own.labels if own else ())


def completed_by_itself(where: str) -> PackageError:
    """Of a Python model whose config leaves its tensors to its code."""
    return PackageError(
        "leaves its tensors to its model.py, which only a server asks for them (auto_complete_config)",
        where=where,
        do='write what it adds into config.pbtxt: backend: "python", input and output with name, data_type and dims',
    )


def _tensor(entry: Any, batched: bool) -> Tensor:
    from tritonclient.grpc.model_config_pb2 import DataType, ModelInput

    name = DataType.Name(entry.data_type)
    layout = {ModelInput.FORMAT_NHWC: "NHWC", ModelInput.FORMAT_NCHW: "NCHW"}.get(getattr(entry, "format", None), "")
    optional = getattr(entry, "optional", False)
    return Tensor(entry.name, protocol_dtype(name), _shape(entry.dims, batched), optional, layout)


def _shape(sizes: Any, batched: bool) -> Shape:
    return (*(["batch"] if batched else []), *("?" if size < 0 else int(size) for size in sizes))

"""What both Python-based backends share: the config's tensors, joining requests into one call, splitting the answer.

Copied beside each backend's model.py when a server is prepared; imports nothing of tritonpm.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class Model:
    """The model that Triton asks this process to serve: its config, file and tensors."""

    def __init__(self, config, folder, version):
        self.config, self.name = config, config["name"]
        self.max_batch_size = config.get("max_batch_size", 0)
        self.inputs = {tensor["name"]: tensor for tensor in config["input"]}
        self.outputs = {tensor["name"]: tensor for tensor in config["output"]}
        self.folder, self.version = Path(folder), version

    @classmethod
    def of(cls, arguments):
        """From what Triton hands to `initialize`."""
        return cls(json.loads(arguments["model_config"]), arguments["model_repository"], arguments["model_version"])

    def file(self, default):
        """The model file, or the sentence why there is none."""
        path = self.folder / self.version / (self.config.get("default_model_filename") or default)
        if path.is_dir() and (path / default).is_file():  # a folder holding the model and its external data
            path = path / default
        if not path.is_file():
            raise pb_utils.TritonModelException(f"model file {path} does not exist")
        return path

    def parameter(self, name, default=None):
        """A `parameters` entry as text."""
        found = self.config.get("parameters", {}).get(name)
        return default if found is None else found["string_value"]

    @property
    def instances(self):
        """How many instances the config asks for."""
        return sum(group.get("count", 1) for group in self.config.get("instance_group", ())) or 1

    def is_scalar(self, name, dims):
        """Whether the file has a scalar where the completed config could only say one element."""
        tensor = self.inputs.get(name) or self.outputs[name]
        return dims == [] and [int(d) for d in tensor["dims"]] == [1] and "reshape" not in tensor

    def check(self, kind, known):
        """Refuse a config that names tensors or dtypes, or has a rank, that the file does not have.

        `known` maps names to (config dtype, dims with -1 or None where the rank is unknown).
        """
        for name, tensor in (self.inputs if kind == "input" else self.outputs).items():
            if name not in known:
                raise pb_utils.TritonModelException(
                    f"model '{self.name}': {kind} '{name}' is not in the model file, which has {', '.join(known)}"
                )
            if tensor["data_type"] == "TYPE_BF16":  # numpy has no such type, and the stub's DLPack way crashes (2.51)
                raise pb_utils.TritonModelException(
                    f"model '{self.name}': {kind} '{name}' is BF16, which only the native backend can serve"
                )
            dtype, dims = known[name]
            if tensor["data_type"] != dtype:
                raise pb_utils.TritonModelException(
                    f"model '{self.name}': {kind} '{name}' is {dtype} in the model file, {tensor['data_type']} in the config"
                )
            if dims is not None:
                self._check_dims(kind, name, tensor, dims)

    def _check_dims(self, kind, name, tensor, dims):
        if self.is_scalar(name, dims):
            return
        reshape = tensor.get("reshape")
        said = [int(d) for d in (reshape["shape"] if reshape else tensor["dims"])]
        full = [-1, *said] if self.max_batch_size > 0 else said
        agree = len(full) == len(dims) and all(a == b or -1 in (a, b) for a, b in zip(full, dims))
        if agree and self.max_batch_size > 0 and dims[0] != -1:
            raise pb_utils.TritonModelException(
                f"model '{self.name}': {kind} '{name}' has a fixed first dimension of {dims[0]} in the model file, "
                "so max_batch_size must be 0"
            )
        if not agree:
            raise pb_utils.TritonModelException(
                f"model '{self.name}': {kind} '{name}' has shape {list(dims)} in the model file, {full} in the config"
            )


def complete(config, inputs, outputs, batch_default=4):
    """Fill what a config leaves open, as the native backends do: tensors, and a batch size where all share a batch axis.

    `inputs` and `outputs` are (name, config dtype, dims, optional).
    """
    given = config.as_dict()
    said = {tensor["name"] for tensor in (*given["input"], *given["output"])}
    shapes = [dims for _, _, dims, _ in (*inputs, *outputs)]
    batched = all(dims and dims[0] == -1 for dims in shapes)
    if given["max_batch_size"] == 0 and batched and not said:
        config.set_max_batch_size(batch_default)
        config.set_dynamic_batching()
    skip = 1 if config.as_dict()["max_batch_size"] > 0 else 0
    for add, tensors, present in (
        (config.add_input, inputs, given["input"]),
        (config.add_output, outputs, given["output"]),
    ):
        if present:
            continue
        for name, dtype, dims, optional in tensors:
            if dims is None:
                raise pb_utils.TritonModelException(f"tensor '{name}' has no rank in the model file; give it dims")
            entry = {"name": name, "data_type": dtype, "dims": list(dims[skip:])}
            if optional:
                entry["optional"] = True
            if not entry["dims"]:  # Triton has no empty dims, and a completed config no reshape: see `is_scalar`
                entry["dims"] = [1]
            add(entry)
    return config


def model_path():
    """The model's file or folder while the config is completed: Triton hands it to this process on its command line."""
    return Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode())


def execute(model, requests, run):
    """One call for all the requests that fit together; each answered for itself.

    `run(inputs, outputs)` takes arrays by name and the names wanted, and returns arrays by name. Requests are joined
    where Triton batches (max_batch_size > 0) and all but the first dimension agree. If a joined call fails, each of its
    requests is tried alone, so that a bad one fails alone.
    """
    responses = [None] * len(requests)
    groups = {}
    for index, request in enumerate(requests):
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        key = (
            tuple((name, array.shape[1:]) for name, array in sorted(arrays.items()))
            if model.max_batch_size > 0
            else index
        )
        groups.setdefault(key, []).append((index, request, arrays))
    for group in groups.values():
        try:
            answers = _joined(model, group, run)
        except Exception as error:
            if len(group) == 1:
                responses[group[0][0]] = _failure(error)
                continue
            answers = [_alone(model, member, run) for member in group]
        for (index, _, _), answer in zip(group, answers):
            responses[index] = answer
    return responses


def _alone(model, member, run):
    try:
        return _joined(model, [member], run)[0]
    except Exception as error:
        return _failure(error)


def _failure(error):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))


def _joined(model, group, run):
    wanted = [request.requested_output_names() for _, request, _ in group]
    names = [name for name in model.outputs if any(name in asked for asked in wanted)]
    if len(group) == 1:
        answers = [run(group[0][2], names)]
    else:
        sizes = [next(iter(arrays.values())).shape[0] for _, _, arrays in group]
        inputs = {name: np.concatenate([arrays[name] for _, _, arrays in group]) for name in group[0][2]}
        answers = _split(run(inputs, names), sizes)
    return [
        pb_utils.InferenceResponse([pb_utils.Tensor(name, np.asarray(answer[name])) for name in names if name in asked])
        for answer, asked in zip(answers, wanted)
    ]


def _split(outputs, sizes):
    ends = np.cumsum(sizes)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != ends[-1]:
            raise ValueError(f"output '{name}' has shape {list(array.shape)} for a batch of {ends[-1]}")
    starts = (0, *ends[:-1])
    return [{name: array[a:b] for name, array in outputs.items()} for a, b in zip(starts, ends)]


def encoded(array):
    """Strings as a runtime gives them, as the objects of bytes that Triton sends."""
    flat = [value.encode() if isinstance(value, str) else bytes(value) for value in array.ravel()]
    out = np.empty(len(flat), dtype=np.object_)
    out[:] = flat
    return out.reshape(array.shape)


def decoded(array):
    """Triton's objects of bytes as the text that a runtime takes."""
    flat = [value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()]
    out = np.empty(len(flat), dtype=np.object_)
    out[:] = flat
    return out.reshape(array.shape)

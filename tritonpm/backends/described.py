"""What the config says of a model, held against what its file says, by the native backends' rules.

Copied beside each backend's model.py when a server is prepared; imports nothing of tritonpm. The rules are those of
Triton's model configuration document and of the native backends' own checks: a config loads here where it loads there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import triton_python_backend_utils as pb_utils

DEFAULT_MAX_BATCH_SIZE = 4  # Triton's default-max-batch-size
_INT = range(-(1 << 31), 1 << 31)
Dims = list[int]  # of a model file: -1 for a dynamic one


class Model:
    """The model that Triton asks this process to serve, as its config tells it."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self.config, self.folder = config, folder
        self.max_batch_size: int = config.get("max_batch_size", 0)
        self.inputs = {tensor["name"]: tensor for tensor in config["input"]}
        self.outputs = {tensor["name"]: tensor for tensor in config["output"]}
        self.scalars: set[str] = set()  # of the file, for which a config can only say one element

    @classmethod
    def served(cls, arguments: Mapping[str, str]) -> Model:
        """From what Triton hands to `initialize`."""
        folder = Path(arguments["model_repository"], arguments["model_version"])
        return cls(json.loads(arguments["model_config"]), folder)

    @classmethod
    def incomplete(cls, config: Any) -> Model:
        """While the config is completed. Only this process's command line tells then where the model lies."""
        path = Path(os.fsdecode(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1]))
        given = config.as_dict()
        named = Path(given.get("default_model_filename") or path.name)  # in a folder of its own, perhaps
        return cls(given, path.parents[len(named.parts) - 1])

    def refuse(self, sentence: str) -> NoReturn:
        """Fail the load."""
        raise pb_utils.TritonModelException(f"model '{self.config['name']}': {sentence}")

    def file(self, default: str) -> Path:
        """The model file, or the folder that the config names instead."""
        path = self.folder / (self.config.get("default_model_filename") or default)
        if (path / default).is_file():  # a folder with the model and its external data
            path = path / default
        if not path.exists():
            self.refuse(f"there is no {path.name} in its version folder {self.folder.name}")
        return path

    def parameter(self, name: str) -> str:
        """An entry of `parameters` as text, "" where there is none."""
        return str(self.config.get("parameters", {}).get(name, {}).get("string_value", ""))

    def number(self, name: str) -> int:
        """An entry of `parameters` as a count, read as the native backends do: C++'s stoi; 0 where there is none."""
        text = self.parameter(name) or "0"
        number = re.match(r"\s*([+-]?\d+)", text)
        if not number or int(number[1]) not in _INT:
            self.refuse(f"parameter {name} is '{text}', expected a number from 0")
        return max(0, int(number[1]))

    def switch(self, name: str, *, default: bool) -> bool:
        """An entry of `parameters` that turns something on or off."""
        text = self.parameter(name).lower()
        if text not in ("", "1", "true", "yes", "0", "false", "no"):
            self.refuse(f"parameter {name} is '{text}', expected 0 or 1")
        return text in ("1", "true", "yes") if text else default

    def share(self, count: int) -> int:
        """This instance's part of cores or streams: instances are processes here, and must not each take all."""
        instances: int = sum(group.get("count", 1) for group in self.config.get("instance_group", ()))
        return max(1, count // max(1, instances))

    def dtype(self, name: str) -> str:
        """A tensor's config dtype, "" for a control that Triton fills in."""
        tensor: dict[str, str] = self.inputs.get(name) or self.outputs.get(name) or {}
        return tensor.get("data_type", "")

    def said(self, name: str) -> Dims:
        """A tensor's dims in the config as the backend sees them, that is after `reshape`."""
        return _said(self.inputs.get(name) or self.outputs[name])

    def check(
        self,
        inputs: Mapping[str, tuple[str, Dims | None]],
        outputs: Mapping[str, tuple[str, Dims | None]],
        *,
        optional: Collection[str] = (),
        outputs_agree: Callable[[int, int], bool],
    ) -> None:
        """Refuse a config that contradicts the file; note which tensors are scalars.

        `inputs` and `outputs` map names to config dtype and dims (None: unknown rank); `optional` are the inputs that a
        request may leave out; `outputs_agree(file's, config's)` is the runtime's rule for a dimension of an output.
        """
        for field in ("batch_input", "batch_output"):
            if self.config.get(field):
                self.refuse(f"{field} is filled in by the native backends only")
        if self.config.get("sequence_batching", {}).get("state"):
            self.refuse("implicit state is kept by the native backends only")
        if len(self.inputs) < len(self.config["input"]):
            self.refuse("an input stands twice in the config")
        for name, tensor in self.inputs.items():
            self._check(
                "input", name, tensor, inputs, lambda file, configured: -1 in (file, configured) or file == configured
            )
            if tensor.get("optional") and self.max_batch_size > 0:
                self.refuse(f"input '{name}' cannot be optional where max_batch_size is not 0")
            if tensor.get("optional") and name not in optional:
                self.refuse(f"input '{name}' is optional in the config, but the model file needs it")
        for tensor in self.config["output"]:
            self._check("output", tensor["name"], tensor, outputs, outputs_agree)
        given = {*self.inputs, *optional, *(name for name, _ in self._controls())}
        for name in inputs:
            if name not in given:
                self.refuse(f"the config leaves out the input '{name}' of the model file")

    def _check(
        self,
        kind: str,
        name: str,
        tensor: Mapping[str, Any],
        known: Mapping[str, tuple[str, Dims | None]],
        agree: Callable[[int, int], bool],
    ) -> None:
        if name not in known:
            self.refuse(f"{kind} '{name}' is not in the model file, which has {', '.join(known)}")
        dtype, dims = known[name]
        if tensor["data_type"] != dtype:
            self.refuse(f"{kind} '{name}' is {dtype} in the model file, {tensor['data_type']} in the config")
        if dims is None:
            return
        if dims == [] and set(_said(tensor)) <= {1}:
            self.scalars.add(name)
            return
        if self.max_batch_size > 0 and dims[:1] != [-1]:
            self.refuse(
                f"{kind} '{name}' has shape {dims} in the model file, whose first dimension is not a batch: "
                "max_batch_size must be 0"
            )
        full = [-1] * (self.max_batch_size > 0) + _said(tensor)
        if len(full) != len(dims) or not all(map(agree, dims, full)):
            self.refuse(f"{kind} '{name}' has shape {dims} in the model file, {full} in the config")

    def check_controls(self, inputs: Mapping[str, tuple[str, Dims | None]]) -> None:
        """Refuse a control of a sequence that the file does not take."""
        shape = [-1, 1] if self.max_batch_size > 0 else [1]
        for name, wanted in self._controls():
            subject = f"control input '{name}'"
            if name not in inputs:
                self.refuse(f"{subject} is not in the model file, which has {', '.join(inputs)}")
            dtype, dims = inputs[name]
            if wanted != dtype:
                self.refuse(f"{subject} is {dtype} in the model file, {wanted} in the config")
            if dims != shape:
                self.refuse(f"{subject} has shape {dims} in the model file, {shape} in the config")

    def _controls(self) -> list[tuple[str, str]]:
        """Names and dtypes of the inputs that Triton itself fills in for a sequence."""
        return [
            (tensor["name"], _control_dtype(control))
            for tensor in self.config.get("sequence_batching", {}).get("control_input", ())
            for control in tensor.get("control", ())
        ]


def _control_dtype(control: Mapping[str, Any]) -> str:
    """Written out, or that of the values for false and true."""
    values = (f"TYPE_{name}" for name in ("INT32", "FP32", "BOOL") if control.get(f"{name.lower()}_false_true"))
    return next(values, str(control.get("data_type", "")))


def _said(tensor: Mapping[str, Any]) -> Dims:
    """A config's dims as the backend sees them; protobuf's JSON has them as numbers or as text."""
    sizes = tensor["reshape"]["shape"] if "reshape" in tensor else tensor["dims"]
    return [int(size) for size in sizes]


def complete(
    config: Any,
    inputs: Sequence[tuple[str, str, Dims | None]],
    outputs: Sequence[tuple[str, str, Dims | None]],
    *,
    batches: bool,
) -> Any:
    """Fill in what a config leaves open, never against what it says: tensors, max_batch_size, dynamic batching.

    `inputs` and `outputs` are name, config dtype and dims (None: unknown rank); `batches`: the model has a batch axis.
    An input of one value a row is not batched: Triton's backends end the server where a request then has no row.
    """
    given = config.as_dict()
    batches = batches and all(dims is None or len(dims) > 1 for _, _, dims in inputs)
    ranks = {name: len(dims) for name, _, dims in (*inputs, *outputs) if dims is not None}
    ranked = [tensor for tensor in (*given["input"], *given["output"]) if tensor["name"] in ranks]
    whole = any(len(_said(tensor)) == ranks[tensor["name"]] for tensor in ranked)  # with the batch axis among the dims
    if batches and not given["max_batch_size"] and not whole:
        given["max_batch_size"] = DEFAULT_MAX_BATCH_SIZE
    if batches and given["max_batch_size"] > 1 and "sequence_batching" not in given:
        given.setdefault("dynamic_batching", {})
    for key, tensors in (("input", inputs), ("output", outputs)):
        given[key] = given[key] or [_entry(given, *tensor) for tensor in tensors]
    return config


def _entry(given: Mapping[str, Any], name: str, dtype: str, dims: Dims | None) -> dict[str, Any]:
    if dims is None:
        raise pb_utils.TritonModelException(
            f"model '{given['name']}': tensor '{name}' has no rank in the model file; give its dims in config.pbtxt"
        )
    batched = given["max_batch_size"] > 0
    entry: dict[str, Any] = {"name": name, "data_type": dtype, "dims": dims[batched:] or [1]}
    if batched and not dims[1:]:  # Triton knows no empty dims; without a batch axis it knows no empty reshape either
        entry["reshape"] = {"shape": []}
    return entry

"""What the config says of a model, held against what its file says, by the native backends' rules.

Copied beside each backend's model.py when a server is prepared; imports nothing of tritonpm. The rules are those of
Triton's model configuration document and of the native backends' own checks: a config loads here where it loads there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import triton_python_backend_utils as pb_utils
from native_rules import DEFAULT_MAX_BATCH_SIZE, Dims, FileTensors, problems, said


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
        named = Path(given.get("default_model_filename") or path.name)
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
        """An entry of `parameters` as a count, read as C++'s stoi does; 0 where there is none, or less than none."""
        number = re.match(r"\s*([+-]?\d+)", self.parameter(name))
        return max(0, int(number[1])) if number else 0

    def switch(self, name: str, *, default: bool) -> bool:
        """An entry of `parameters` that turns something on or off."""
        text = self.parameter(name).lower()
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
        return said(self.inputs.get(name) or self.outputs[name])

    def check(self, backend: str, file: FileTensors) -> None:
        """Refuse a config that the native backend of this name would refuse for this file; note which are scalars.

        What native backends refuse because they lack a feature that is here is let through (docs/backends.md).
        """
        if self.config.get("sequence_batching", {}).get("state"):
            self.refuse("implicit state is kept by the native backends only")
        for _, sentence in problems(backend, self.config, file, embedded=True):
            self.refuse(sentence)
        for name, told in (*file.inputs.items(), *file.initializers.items(), *file.outputs.items()):
            if told.dims is not None and not told.dims and (name in self.inputs or name in self.outputs):
                self.scalars.add(name)


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
    if batches and not given["max_batch_size"]:
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

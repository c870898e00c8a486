"""The config's warm-up, run before Triton runs it: a sample that fails fails the load, in this process alone.

Triton 2.51 often ends with SIGSEGV where a warm-up of its own fails in a backend that runs in processes, and takes all
other models with it. So `initialize` runs each sample first, and what Triton sends then is answered without being run.
Copied beside each backend's model.py when a server is prepared; imports nothing of tritonpm.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from described import Model
from joined import Arrays, Run, Streams, called
from numpy.typing import NDArray

SECONDS = 120.0  # for all the samples of one instance: a load waits longer
_LENGTH = 4  # bytes before each text of a data file


class WarmUp:
    """What of Triton's own warm-up is still to come: it is the first that a new instance executes."""

    def __init__(self, model: Model, run: Run) -> None:
        """Run every sample; refuse the load where one fails."""
        samples = [sample for sample in model.config.get("model_warmup", ()) if sample.get("batch_size", 0) > 0]
        self.expected = sum(sample.get("count") or 1 for sample in samples)
        for sample in samples:
            if sample["batch_size"] > max(1, model.max_batch_size):
                model.refuse(f"warm-up '{sample['name']}' has {sample['batch_size']} rows, more than max_batch_size")
        self.trial = _Trial(model, samples, run)
        self.trial.start()
        self.trial.join(SECONDS)
        if self.trial.is_alive():
            model.refuse(f"warm-up '{self.trial.sample}' takes longer than {SECONDS:g} s")
        if self.trial.refusal:
            model.refuse(self.trial.refusal)

    def repeat(self, streams: Streams | None) -> None:
        """Once more on the threads that will serve, for a runtime that keeps something for each."""
        if streams:
            list(streams.pool.map(lambda _: self.trial.run(), range(streams.count)))
        else:
            self.trial.run()

    def answers(self, requests: Sequence[Any]) -> list[Any] | None:
        """Answers to what Triton sends to warm up, which has run here already; None where clients ask."""
        if not self.expected:
            return None
        self.expected -= 1
        return [pb_utils.InferenceResponse([]) for _ in requests]


class _Trial(threading.Thread):
    """Every sample once, on a thread: the runtimes let go of Python's lock, so that somebody else can watch it."""

    def __init__(self, model: Model, samples: Sequence[Mapping[str, Any]], run: Run) -> None:
        super().__init__(daemon=True)
        self.model, self.samples, self.call = model, samples, run
        self.sample = self.refusal = ""

    def run(self) -> None:
        """Note why a sample does not run."""
        for sample in self.samples:
            self.sample = sample.get("name", "")
            try:
                called(self.model, self._inputs(sample), list(self.model.outputs), self.call)
            except Exception as error:  # whatever the runtime raises, or MemoryError
                sentence = " ".join(str(error).split()) or type(error).__name__
                self.refusal = f"warm-up '{self.sample}' fails: {sentence}"
                return

    def _inputs(self, sample: Mapping[str, Any]) -> Arrays:
        rows = [sample["batch_size"]] if self.model.max_batch_size > 0 else []
        return {name: self._array(name, value, rows) for name, value in sample["inputs"].items()}

    def _array(self, name: str, value: Mapping[str, Any], rows: list[int]) -> NDArray[Any]:
        """One input of a sample: zeros, random bytes, or what lies in a file, the same for each row."""
        dims = [int(size) for size in value.get("dims", ())]
        shape = (*rows, *_reshaped(self.model.inputs.get(name, {}), dims))
        dtype, count = value["data_type"], int(np.prod(dims, dtype=np.int64))
        if dtype == "TYPE_STRING":
            return _text(self._bytes(value), count, rows, shape)
        kind = np.dtype(np.uint16 if dtype == "TYPE_BF16" else pb_utils.triton_string_to_numpy(dtype))
        if value.get("zero_data"):
            return np.zeros(shape, kind)
        content = self._bytes(value) or os.urandom(count * kind.itemsize)
        flat = np.frombuffer(content, np.uint8 if kind == np.bool_ else kind)[:count]
        flat = flat % 2 == 1 if kind == np.bool_ else flat
        return np.tile(flat, (*rows, 1)).reshape(shape)  # a copy: OpenVINO wants to write

    def _bytes(self, value: Mapping[str, Any]) -> bytes:
        file = value.get("input_data_file")
        return Path(self.model.folder.parent, "warmup", file).read_bytes() if file else b""


def _reshaped(tensor: Mapping[str, Any], dims: list[int]) -> list[int]:
    """The dims of a request as the model sees them: what is variable keeps its size, in order."""
    if "reshape" not in tensor:
        return dims
    free = (size for size, configured in zip(dims, tensor["dims"], strict=True) if int(configured) == -1)
    return [next(free) if int(size) == -1 else int(size) for size in tensor["reshape"].get("shape", ())]


def _text(content: bytes, count: int, rows: list[int], shape: tuple[int, ...]) -> NDArray[np.object_]:
    """Texts as a file holds them, each after its length; empty ones where there is no file."""
    texts: list[bytes] = []
    while content and len(texts) < count:
        end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        texts.append(content[_LENGTH:end])
        content = content[end:]
    array = np.empty(int(np.prod([*rows, count], dtype=np.int64)), dtype=np.object_)
    row = list(chain(texts, repeat(b"", count - len(texts))))
    array[:] = row * (rows[0] if rows else 1)
    return array.reshape(shape)

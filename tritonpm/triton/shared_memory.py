"""Tensors in system shared memory, for clients on the server's machine. Source: Triton's shared memory extension."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import Array, numpy_dtype, triton_dtype
from tritonpm.triton.client import Client
from tritonpm.triton.failures import plainly
from tritonpm.triton.inference import first


class Region:
    """One region for inputs, registered with the server; it grows with what is sent, and goes with the block."""

    def __init__(self, client: Client) -> None:
        self.client, self.name, self.size = client, f"tritonpm-{os.getpid()}-{uuid.uuid4().hex[:8]}", 0
        self._handle: Any = None

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *_: object) -> None:
        self._free()

    def infer(self, model: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One inference with the inputs handed over in the region. Raises InferenceError."""
        import tritonclient.grpc as grpc
        import tritonclient.utils.shared_memory as shm

        sent, offset = [], 0
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        self._grow(sum(array.nbytes for array in arrays.values()))
        signature = self.client.metadata(model)
        dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
        for name, array in arrays.items():
            if name not in dtypes or array.dtype == np.object_:
                raise InferenceError(f"input {name!r} cannot be handed over in memory", where=model, do="leave it out")
            array = array.astype(numpy_dtype(dtypes[name]), copy=False)
            shm.set_shared_memory_region(self._handle, [array], offset=offset)
            sent.append(grpc.InferInput(name, list(array.shape), triton_dtype(array.dtype)))
            sent[-1].set_shared_memory(self.name, array.nbytes, offset)
            offset += array.nbytes
        wanted = [grpc.InferRequestedOutput(tensor.name) for tensor in signature.outputs]
        return first(model, self.client.ask(model, sent, wanted))

    def _grow(self, size: int) -> None:
        import tritonclient.utils.shared_memory as shm

        if size <= self.size:
            return
        self._free()
        self.size = max(size, 1 << 16)
        self._handle = shm.create_shared_memory_region(self.name, f"/{self.name}", self.size)
        with plainly(self.client.where, "", InferenceError):
            self.client.raw.register_system_shared_memory(self.name, f"/{self.name}", self.size)

    def _free(self) -> None:
        import tritonclient.utils.shared_memory as shm

        if self._handle is None:
            return
        try:
            with plainly(self.client.where, "", InferenceError):
                self.client.raw.unregister_system_shared_memory(self.name)
        finally:
            shm.destroy_shared_memory_region(self._handle)
            self._handle, self.size = None, 0

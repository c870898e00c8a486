"""Joining the requests that Triton hands over into one call of the runtime, and splitting its answer.

Copied beside each backend's model.py when a server is prepared; imports nothing of tritonpm.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from described import Model
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Run = Callable[
    [Arrays, list[str]], Arrays
]  # inputs and the outputs wanted → outputs, good until its thread's next call
Batch = list[tuple[Any, Arrays]]  # requests with their inputs


def execute(model: Model, requests: Sequence[Any], run: Run) -> list[Any]:
    """A response for each request, with one call of `run` for all the requests that fit together."""
    batches = _fitting(model, requests)
    responses: dict[Any, Any] = {}
    for batch in batches:
        responses.update(_answered(model, batch, run, keep=len(batches) > 1))
    return [responses[request] for request in requests]


class Streams:
    """Batches side by side in one instance: Triton gets the instance back while one of `count` streams is free.

    The Python backend takes a response whenever its sender sends it, also after `execute` has returned.
    """

    def __init__(self, count: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.count, self.pool, self.free = count, ThreadPoolExecutor(count), threading.Semaphore(count)

    def execute(self, model: Model, requests: Sequence[Any], run: Run) -> None:
        """As the function of this name, but `run` is called by several threads, and answers are sent, not returned."""
        for batch in _fitting(model, requests):
            self.free.acquire()
            self.pool.submit(self._send, model, batch, run)
        with self.free:
            return

    def _send(self, model: Model, batch: Batch, run: Run) -> None:
        try:
            for request, response in _answered(model, batch, run, keep=False).items():
                request.get_response_sender().send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        finally:
            self.free.release()

    def close(self) -> None:
        """Wait for what is under way."""
        self.pool.shutdown()


def _fitting(model: Model, requests: Sequence[Any]) -> list[Batch]:
    """The requests in batches that one call can take: the same inputs, alike in all but the first dimension."""
    batches: dict[Any, Batch] = {}
    for request in requests:
        arrays = {tensor.name(): _array(tensor, model) for tensor in request.inputs()}
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(arrays.items()))
        batches.setdefault(shapes if model.max_batch_size > 0 else request, []).append((request, arrays))
    return list(batches.values())


def _answered(model: Model, batch: Batch, run: Run, *, keep: bool) -> dict[Any, Any]:
    """Responses by request. If the joined call fails, each request is tried alone, so that a bad one fails alone."""
    try:
        return _joined(model, batch, run, keep=keep)
    except Exception as error:  # whatever the runtime raises is these requests' answer, not the end of the process
        if len(batch) == 1:
            sentence = " ".join(str(error).split()) or type(error).__name__
            return {batch[0][0]: pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence))}
    responses: dict[Any, Any] = {}
    for member in batch:
        responses.update(_answered(model, [member], run, keep=True))
    return responses


def _joined(model: Model, batch: Batch, run: Run, *, keep: bool) -> dict[Any, Any]:
    wanted = {request: set(request.requested_output_names()) for request, _ in batch}
    names = [name for name in model.outputs if any(name in asked for asked in wanted.values())]
    inputs = dict(batch[0][1])
    if len(batch) > 1:
        inputs = {name: np.concatenate([arrays[name] for _, arrays in batch]) for name in inputs}
    outputs = called(model, inputs, names, run)
    if keep:
        outputs = {name: array.copy() for name, array in outputs.items()}
    responses = {}
    for (request, _), part in zip(batch, _split(outputs, batch), strict=True):
        asked = [name for name in names if name in wanted[request]]
        tensors = [_tensor(name, part[name], model.dtype(name)) for name in asked]
        responses[request] = pb_utils.InferenceResponse(tensors)
    return responses


def called(model: Model, inputs: Arrays, names: list[str], run: Run) -> Arrays:
    """One call of the runtime, which is given its scalars as such; they come back as a config can say them."""
    scalars = {name: inputs[name].reshape(()) for name in model.scalars & inputs.keys()}
    outputs = run({**inputs, **scalars}, names)
    for name in model.scalars & outputs.keys():  # ONNX Runtime tells a scalar and an unknown rank alike
        if outputs[name].size != 1:
            shape = list(outputs[name].shape)
            raise ValueError(f"output '{name}' has shape {shape}, the config takes one element")
    return outputs | {name: outputs[name].reshape(model.said(name)) for name in model.scalars & outputs.keys()}


def _split(outputs: Arrays, batch: Batch) -> list[Arrays]:
    """Each request's rows of the outputs, as views."""
    if len(batch) == 1:
        return [outputs]
    ends = np.cumsum([len(next(iter(arrays.values()))) for _, arrays in batch])
    for name, array in outputs.items():
        if array.shape[:1] != (ends[-1],):
            raise ValueError(f"output '{name}' has shape {list(array.shape)} for a batch of {ends[-1]}")
    return [{n: a[start:end] for n, a in outputs.items()} for start, end in zip((0, *ends[:-1]), ends, strict=True)]


def encoded(array: NDArray[Any]) -> NDArray[np.object_]:
    """Text as a runtime gives it, as the objects of bytes that Triton sends."""
    return _mapped(array, lambda value: value.encode() if isinstance(value, str) else bytes(value))


def decoded(array: NDArray[Any], name: str) -> NDArray[np.object_]:
    """Triton's objects of bytes as the text that a runtime takes."""
    try:
        return _mapped(array, bytes.decode)
    except UnicodeDecodeError:
        raise ValueError(f"input '{name}' holds bytes that are not UTF-8 text") from None


def _mapped(array: NDArray[Any], function: Callable[[Any], object]) -> NDArray[np.object_]:
    mapped = np.empty(array.size, dtype=np.object_)
    mapped[:] = [function(value) for value in array.ravel()]
    return mapped.reshape(array.shape)


class _Managed(ctypes.Structure):
    """DLPack's DLManagedTensor. Source: dlpack.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_CPU, _BFLOAT = 1, 4  # DLPack's codes
_c, _python = ctypes.CDLL(None), ctypes.pythonapi
_c.malloc.restype, _c.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_python.PyCapsule_New.restype = ctypes.py_object
_python.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def _array(tensor: Any, model: Model) -> NDArray[Any]:
    """A request's tensor as numpy, without a copy; BF16, which numpy lacks, as a copy of its bits in uint16."""
    if model.dtype(tensor.name()) != "TYPE_BF16":
        return np.asarray(tensor.as_numpy())
    capsule = tensor.to_dlpack()
    managed = _Managed.from_address(_python.PyCapsule_GetPointer(capsule, b"dltensor"))
    return bits(managed.data, managed.shape[: managed.ndim])


def bits(address: int, shape: Sequence[int]) -> NDArray[np.uint16]:
    """A copy of the 16-bit elements that lie at an address."""
    flat: NDArray[np.uint16] = np.ctypeslib.as_array((ctypes.c_uint16 * int(np.prod(shape))).from_address(address))
    return flat.reshape(shape).copy()


def _tensor(name: str, array: NDArray[Any], dtype: str) -> Any:
    """An output tensor; `array` holds the bits in uint16 where the config says BF16.

    A BF16 tensor, its shape and its bits are one block for C's `free`: Triton may drop a tensor on a thread that does
    not hold Python's lock, where a capsule of numpy's would crash.
    """
    if dtype != "TYPE_BF16":
        return pb_utils.Tensor(name, array)
    array = np.ascontiguousarray(array)
    shape_at = ctypes.sizeof(_Managed)
    data_at = shape_at + 8 * array.ndim
    block = _c.malloc(data_at + array.nbytes)
    (ctypes.c_int64 * array.ndim).from_address(block + shape_at)[:] = list(array.shape)
    ctypes.memmove(block + data_at, array.ctypes.data, array.nbytes)
    ctypes.memset(block, 0, shape_at)
    managed = _Managed.from_address(block)
    managed.data, managed.device_type, managed.ndim = block + data_at, _CPU, array.ndim
    managed.code, managed.bits, managed.lanes = _BFLOAT, 16, 1
    managed.shape = ctypes.cast(block + shape_at, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = ctypes.cast(_c.free, ctypes.c_void_p).value
    return pb_utils.Tensor.from_dlpack(name, _python.PyCapsule_New(block, b"dltensor", None))

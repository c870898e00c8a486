"""What serves a stage, and how many requests Triton then joins: said once, for the config, the list and the rules."""

from __future__ import annotations

from collections.abc import Mapping

from tritonpm.core.types import BACKENDS, BatchAxis, Format, Optimised, Signature, Stage
from tritonpm.settings.settings import Settings

# The formats that two optimizers make; the others leave the model in its own.
MADE: Mapping[str, Format] = {"openvino": Format.OPENVINO, "tensorrt": Format.TENSORRT}


def automatic(settings: Settings) -> str:
    """The optimizer that is used where none is named."""
    if settings.on_gpu:
        return "tensorrt"
    return "onnx" if settings.backend == "onnxruntime" else "openvino"


def served_format(stage: Stage, settings: Settings, made: Optimised | None = None) -> Format:
    """The format that a stage is served in: of what was `made` of it, else of what its settings ask to be made."""
    if made is not None:
        return made.format if made.files else stage.format
    if not settings.optimised or stage.format is Format.TENSORRT or stage.crop is not None:
        return stage.format
    named = settings.optimizer not in ("none", "auto")
    return MADE.get(settings.optimizer if named else automatic(settings), stage.format)


def backend_of(stage: Stage, settings: Settings, made: Optimised | None = None) -> str:
    """The backend that will serve a stage; "" where its own config names it."""
    if stage.crop is not None:
        return BACKENDS[stage.format][0]
    return settings.backend or BACKENDS.get(served_format(stage, settings, made), ("",))[0]


def single_rows(signature: Signature, axis: BatchAxis) -> bool:
    """Whether an input is one value a row. Where Triton batches it says so by an empty reshape.

    A request without rows has no shape at all then, and its backends look at the first dimension: SIGSEGV.
    """
    return axis.kind != "none" and any(
        tensor.shape is not None and len(tensor.shape) == 1 for tensor in signature.inputs
    )


def max_batch_size(stage: Stage, settings: Settings, axis: BatchAxis, backend: str) -> int:
    """What Triton may join, as its config says it: 0 where it does not batch and executes each request as it comes.

    The native openvino backend refuses every batch that is not full, so there the batch is a dimension of the model;
    and so it is where `single_rows`.
    """
    if axis.kind == "none" or (backend == "openvino" and not stage.config):
        return 0
    if single_rows(axis.signature or stage.signature, axis):
        return 0
    if stage.config and settings.max_batch_size == 1:  # 1 also stands for a config that does not batch
        named = all(tensor.shape and tensor.shape[0] == "batch" for tensor in stage.signature.inputs)
        return 1 if named else 0
    return settings.max_batch_size

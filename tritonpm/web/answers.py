"""What a model's answer means, as far as its shape, its task and its labels tell: classes, boxes, masks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritonpm.convert.calibration import read
from tritonpm.convert.detection import as_corners, boxes_of
from tritonpm.core.errors import NotFoundError
from tritonpm.core.tensors import Array, load_npz, save_npz, triton_dtype
from tritonpm.core.types import Signature, Task
from tritonpm.core.units import MIB
from tritonpm.operations.context import Context
from tritonpm.operations.infer import infer
from tritonpm.operations.server import connect
from tritonpm.web.site import Site

BEST = 5  # classes of each row
_ROWS, _BOXES, _MASKS, _VALUES = 16, 200, 16, 64  # that are shown
_MOST_PIXELS = 4 << 20  # of a mask
_MOST_INPUT = 128 * MIB  # of one inference: on its way to Triton it is in memory about four times
_SEGMENTS = (Task.SEMANTIC_SEGMENTATION, Task.DEFECT_SEGMENTATION, Task.INSTANCE_SEGMENTATION, Task.ANOMALY_DETECTION)


@dataclass(frozen=True)
class Output:
    """A tensor of an answer; `values` are the first few, as text."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Class:
    """A class of one row."""

    row: int
    label: str
    score: float


@dataclass(frozen=True)
class PictureBox:
    """A detection in image `row`: its corners, as shares of the model's input where `relative`, else in its pixels."""

    row: int
    label: str
    score: float
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class Mask:
    """Which pixels belong to something: one byte a pixel, row after row, 0 for nothing, in base64."""

    row: int
    width: int
    height: int
    pixels: str
    labels: tuple[str, ...]  # of the values 1, 2, …


@dataclass(frozen=True)
class AnswerView:
    """An answer; `width` and `height` are of the model's image input, 0 where it has none."""

    outputs: tuple[Output, ...]
    classes: tuple[Class, ...] = ()
    boxes: tuple[PictureBox, ...] = ()
    masks: tuple[Mask, ...] = ()
    width: int = 0
    height: int = 0
    ms: float = 0.0


def answered(site: Site, name: str, inputs: Path | None, folder: Path) -> AnswerView:
    """One inference, and what its answer means. Raises InferenceError, ConversionError, ServerError."""
    import time

    with site.open() as context:
        package = context.catalogue.get(name).package
        signature = _signature(context, name)
        if inputs:
            save_npz(folder / "in.npz", read(inputs, signature, _MOST_INPUT))
        started = time.perf_counter()
        infer(context, name, folder / "in.npz" if inputs else None, folder / "out.npz")
        took = (time.perf_counter() - started) * 1000
    last = package.stages[-1]
    width, height = _image_size(signature)
    return meaning(load_npz(folder / "out.npz"), last.task, last.signature.labels, width, height, took)


def _signature(context: Context, name: str) -> Signature:
    """The served model's tensors. Raises NotFoundError where it is not loaded."""
    with connect(context) as client:
        if not client.ready(name):
            raise NotFoundError(f"{name} is not loaded", do="load it first")
        return client.metadata(name)


def _image_size(signature: Signature) -> tuple[int, int]:
    shape = signature.inputs[0].shape if len(signature.inputs) == 1 else None
    if not shape or len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
        return 0, 0
    one, two, three = (int(size) for size in shape[1:])
    return (three, two) if one in (1, 3) else (two, one)


def meaning(
    answer: Mapping[str, Array], task: Task, labels: tuple[str, ...], width: int = 0, height: int = 0, ms: float = 0.0
) -> AnswerView:
    """What an answer means."""
    outputs = tuple(_output(name, array) for name, array in answer.items())
    segments = task in _SEGMENTS
    boxes = () if task is Task.IMAGE_CLASSIFICATION else _boxes(answer, labels, width, height)
    classes = () if boxes or segments else _classes(answer, labels)
    return AnswerView(outputs, classes, boxes, _masks(answer, labels) if segments else (), width, height, ms)


def _output(name: str, array: Array) -> Output:
    flat = array.ravel()[:_VALUES]
    values = tuple(f"{v:.5g}" if array.dtype.kind in "fV" else _text(v) for v in flat)
    return Output(name, triton_dtype(array.dtype), tuple(array.shape), values)


def _text(value: object) -> str:
    return value.decode(errors="replace")[:200] if isinstance(value, bytes) else str(value)


def _classes(answer: Mapping[str, Array], labels: tuple[str, ...]) -> tuple[Class, ...]:
    """The best classes of each row, of the first output that has a score for each label (or for a few classes)."""
    for array in answer.values():
        scores = array.astype(np.float64) if array.dtype.kind in "fV" and array.ndim == 2 else None
        if scores is not None and scores.shape[1] > 1 and (not labels or scores.shape[1] == len(labels)):
            return tuple(
                Class(row, _label(labels, int(best)), float(scored[best]))
                for row, scored in enumerate(scores[:_ROWS])
                for best in np.argsort(-scored, kind="stable")[:BEST]
            )
    return ()


def _boxes(answer: Mapping[str, Array], labels: tuple[str, ...], width: int, height: int) -> tuple[PictureBox, ...]:
    """The best boxes, as shares of the image where its size is known."""
    detections = boxes_of(answer)
    if detections is None or not len(detections.scores):
        return ()
    relative = not width or float(np.abs(detections.corners).max()) <= 2.0
    scale = np.ones(4) if relative else np.array([width, height, width, height], np.float64)
    best = np.argsort(-detections.scores, kind="stable")[:_BOXES]
    corners = as_corners(detections.corners[best]) / scale
    return tuple(
        PictureBox(
            int(detections.frames[i]), _label(labels, int(detections.classes[i])), float(detections.scores[i]),
            (float(c[0]), float(c[1]), float(c[2]), float(c[3])),
        )
        for i, c in zip(best, corners, strict=True)
    )  # fmt: skip


def _masks(answer: Mapping[str, Array], labels: tuple[str, ...]) -> tuple[Mask, ...]:
    """Of the largest output that looks like an image: the class of each pixel, or where one channel is above half."""
    pictures = [array for array in answer.values() if array.ndim in (3, 4) and min(array.shape[-2:]) > 1]
    if not pictures:
        return ()
    picture = max(pictures, key=lambda array: array.shape[-1] * array.shape[-2])
    rows = picture[:, np.newaxis] if picture.ndim == 3 else picture
    if picture.ndim == 4 and picture.shape[-1] <= 4 < picture.shape[1]:  # channels last
        rows = np.moveaxis(picture, -1, 1)
    masks = [_mask(index, row, labels) for index, row in enumerate(rows[:_MASKS])]
    return tuple(mask for mask in masks if mask)


def _mask(index: int, channels: Array, labels: tuple[str, ...]) -> Mask | None:
    height, width = channels.shape[-2:]
    if height * width > _MOST_PIXELS:
        return None
    if len(channels) > 1:
        pixels = channels.argmax(axis=0)
        named = labels[1:] if len(labels) == len(channels) else labels
    else:
        pixels = channels[0] > 0.5 if channels.dtype.kind in "fV" else channels[0]
        named = labels
    encoded = base64.b64encode(np.clip(pixels, 0, 255).astype(np.uint8).tobytes()).decode()
    return Mask(index, int(width), int(height), encoded, named)


def _label(labels: tuple[str, ...], index: int) -> str:
    return labels[index] if index < len(labels) else str(index)

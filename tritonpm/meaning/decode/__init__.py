"""From the outputs of pictures to what they hold: one decoder a kind, in a module a family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode import detr, listed, maps, ocr, turned, whole, yolo
from tritonpm.meaning.decode.about import About, Outputs
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.objects import Detection, Object, Objects
from tritonpm.meaning.spec import OF_PIXELS, ROLES, Decode
from tritonpm.meaning.stages import tensor_of

Decoder = Callable[[Outputs, About], Objects]
DECODERS: Mapping[str, Decoder] = {
    "classification": whole.classification,
    "multi-label": whole.multi_label,
    "yolov5": yolo.yolov5,
    "yolov5-segment": yolo.yolov5,
    "yolov8": yolo.yolov8,
    "yolov8-segment": yolo.yolov8,
    "yolov8-pose": yolo.yolov8,
    "yolov8-obb": turned.yolov8_obb,
    "yolov10": yolo.yolov10,
    "yolov10-segment": yolo.yolov10,
    "yolov10-pose": yolo.yolov10,
    "yolov10-obb": turned.yolov10_obb,
    "efficient-nms": listed.efficient_nms,
    "boxes": listed.boxes,
    "ssd": listed.ssd,
    "detr": detr.detr,
    "semantic-segmentation": maps.semantic_segmentation,
    "anomaly-map": maps.anomaly_map,
    "ocr-detection": ocr.ocr_detection,
    "ocr-recognition": ocr.ocr_recognition,
    "embedding": whole.embedding,
    "regression": whole.regression,
}


def decoded(
    answer: Mapping[str, Array], spec: Decode, labels: tuple[str, ...], geometries: Sequence[Geometry]
) -> tuple[Objects, ...]:
    """What each picture of a request holds. Raises ValueError where the answer is not what the package says of it."""
    pictures = undropped(answer, spec, labels, geometries)
    return tuple(tuple(one for one in objects if there(one, spec)) for objects in pictures)


def undropped(
    answer: Mapping[str, Array], spec: Decode, labels: tuple[str, ...], geometries: Sequence[Geometry]
) -> tuple[Objects, ...]:
    """As `decoded`, with the boxes that are not there: rows of other tensors may belong to them."""
    outputs = _by_role(answer, spec)
    with _of_kind(outputs, spec), np.errstate(invalid="ignore", over="ignore"):
        rows = _rows(outputs, spec, len(geometries))
        return tuple(
            DECODERS[spec.kind](row, About(spec, labels, geometry))
            for row, geometry in zip(rows, geometries, strict=True)
        )


@contextmanager
def _of_kind(outputs: Outputs, spec: Decode) -> Iterator[None]:
    """What a decoder stumbles over is that the answer is none of its kind: a shape, a type, NaN for a whole number."""
    try:
        yield
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        shapes = ", ".join(f"{role} {list(array.shape)}" for role, array in outputs.items())
        raise ValueError(f"the outputs ({shapes}) are not those of kind {spec.kind} ({error})") from None


def there(one: Object, spec: Decode) -> bool:
    """Not so a box that has no part in the picture, as one in what was filled up around it; nor one without pixels."""
    if not isinstance(one, Detection):
        return True
    return one.box.area > 0 and (one.mask is None or spec.kind not in OF_PIXELS or bool(one.mask.any()))


def pictures_of(answer: Mapping[str, Array], spec: Decode) -> int:
    """Of how many pictures an answer is. Raises ValueError where it is none of that kind."""
    outputs = _by_role(answer, spec)
    if not outputs:
        raise ValueError(f"the answer has none of the outputs of kind {spec.kind}")
    with _of_kind(outputs, spec):
        if spec.kind == "ssd":
            return int(outputs["predictions"].reshape(-1, 7)[:, 0].max(initial=0)) + 1
        return len(next(iter(outputs.values()))) if _batched(outputs, spec) else 1


def _by_role(answer: Mapping[str, Array], spec: Decode) -> dict[str, Array]:
    tensors = {role: tensor_of(spec, role, tuple(answer)) for role in (one.rstrip("?") for one in ROLES[spec.kind])}
    return {role: answer[name] for role, name in tensors.items() if name in answer}


def _rows(outputs: Outputs, spec: Decode, count: int) -> list[Outputs]:
    """The outputs of each picture, without the batch axis."""
    if spec.kind == "ssd":  # all pictures are in one list
        whole = outputs["predictions"].reshape(-1, 7)
        return [{"predictions": whole[whole[:, 0] == index]} for index in range(count)]
    if not _batched(outputs, spec):
        return [outputs]
    if any(len(array) != count for array in outputs.values()):
        raise ValueError(f"the answer has no row for each of {count} pictures")
    return [{role: np.asarray(array[index]) for role, array in outputs.items()} for index in range(count)]


def _batched(outputs: Outputs, spec: Decode) -> bool:
    """Whether the outputs have a batch axis; a detector of one picture, as torchvision exports it, has none."""
    if spec.kind in ("boxes", "efficient-nms"):
        return outputs["boxes"].ndim > 2
    if spec.kind == "ocr-recognition":
        return outputs["scores"].ndim > 2
    return True

"""What Ultralytics (YOLOv8 and later) and the YOLOv5 repository write: metadata of ONNX, metadata.yaml beside others.

Source: what `yolo export` and YOLOv5's export.py write; letterbox, 114, /255, 0.25 and 0.7 are what both predict with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tritonpm.meaning.inferred.found import BYTE, Found, names, numbers, picture_of, taken_by, truth, value_of

if TYPE_CHECKING:
    from tritonpm.meaning.inferred import Sources

_KINDS = {
    "detect": "yolov8", "segment": "yolov8-segment", "pose": "yolov8-pose", "obb": "yolov8-obb",
    "classify": "classification",
}  # fmt: skip


def read(sources: Sources) -> Found | None:
    """Of an Ultralytics model by its author and task, of a YOLOv5 one by the two keys that it has."""
    beside = sources.beside.get("metadata.yaml")
    said: Mapping[str, Any] = sources.metadata
    if said.get("author") != "Ultralytics" and isinstance(beside, Mapping):
        said = beside
    if said.get("author") == "Ultralytics":
        return _ultralytics(said, sources)
    if set(sources.metadata) == {"stride", "names"} and str(sources.metadata["stride"]).strip().isdecimal():
        return _yolov5(sources)
    return None


def _ultralytics(said: Mapping[str, Any], sources: Sources) -> Found:
    task, labels = str(said.get("task", "")), names(said.get("names"))
    imgsz = [int(side) for side in numbers(said.get("imgsz"))]
    if len(imgsz) == 1:
        imgsz *= 2
    taken = taken_by(sources.signature)
    colour = "GRAY" if numbers(said.get("channels")) == [1.0] else "RGB"
    prepared: dict[str, object] = {}
    if taken is not None and len(imgsz) == 2 and task in _KINDS:
        prepared = {**taken, **(_cropped(imgsz) if task == "classify" else _letterboxed(imgsz)), "colour": colour}
    return Found("Ultralytics", prepared, _decoded(task, said, sources), labels)


def _letterboxed(size: list[int]) -> dict[str, object]:
    return {"resize": "letterbox", "size": size, "fill": 114.0, "scale": BYTE}


def _cropped(size: list[int]) -> dict[str, object]:
    return {"resize": "shortest-side", "shortest": min(size), "size": size, "antialias": True, "scale": BYTE}


def _decoded(task: str, said: Mapping[str, Any], sources: Sources) -> dict[str, object]:
    """{} for what is exported in a way of its own: RT-DETR."""
    arguments = value_of(said.get("args"))
    inside = truth(said.get("end2end")) or (isinstance(arguments, Mapping) and truth(arguments.get("nms")))
    outputs = [tensor.name for tensor in sources.signature.outputs]
    if task not in _KINDS or "rtdetr" in str(said.get("description", "")).lower():
        return {}
    decoded: dict[str, object] = {"kind": _KINDS[task]}
    if task != "classify":
        decoded |= {"kind": _KINDS[task].replace("yolov8", "yolov10")} if inside else {"iou": 0.7}
    if task == "segment":
        if len(outputs) != 2:
            return {}
        decoded["outputs"] = {"predictions": outputs[0], "prototypes": outputs[1]}
    if task == "pose":
        decoded["keypoints"] = [int(one) for one in numbers(said.get("kpt_shape"))]
    return decoded


def _yolov5(sources: Sources) -> Found:
    labels = names(sources.metadata["names"])
    picture, taken = picture_of(sources.signature), taken_by(sources.signature)
    prepared: dict[str, object] = {}
    if picture is not None and taken is not None and picture[2] is not None:
        prepared = {**taken, **_letterboxed(list(picture[2]))}
    outputs = sources.signature.outputs
    if outputs[0].shape is None or len(outputs[0].shape) != 3:  # a classifier, or the raw heads
        return Found("YOLOv5", {}, {}, labels)
    decoded: dict[str, object] = {"kind": "yolov5"}
    if len(outputs) == 2 and [tensor.name for tensor in outputs] == ["output0", "output1"]:
        roles = {"predictions": "output0", "prototypes": "output1"}
        decoded = {"kind": "yolov5-segment", "outputs": roles}
    elif len(outputs) > 1:
        decoded["outputs"] = {"predictions": outputs[0].name}
    return Found("YOLOv5", prepared, decoded, labels)

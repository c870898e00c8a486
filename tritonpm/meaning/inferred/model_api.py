"""What OpenVINO's Model API reads: rt_info/model_info of an IR, and the same keys in the metadata of an ONNX model.

Source: Model API's model-configuration document. It takes pictures as OpenCV reads them (blue first), and so
`reverse_input_channels` is what makes red the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tritonpm.meaning.inferred.found import Found, numbers, picture_of, taken_by, truth

if TYPE_CHECKING:
    from tritonpm.meaning.inferred import Sources

PREFIX = "model_info "
_RESIZES: Mapping[str, Mapping[str, object]] = {
    "standard": {"resize": "stretch"},
    "fit_to_window": {"resize": "letterbox", "position": "top-left"},
    "fit_to_window_letterbox": {"resize": "letterbox"},
}


def read(sources: Sources) -> Found | None:
    """What model_info says."""
    said = {key.removeprefix(PREFIX): text.strip() for key, text in sources.metadata.items() if key.startswith(PREFIX)}
    if not said:
        return None
    return Found("model_info", _preprocess(said, sources), _decode(said, sources), _labels(said.get("labels", "")))


def _labels(text: str) -> tuple[str, ...]:
    return tuple(name.replace("_", " ") for name in text.split()) if "," not in text else ()


def _preprocess(said: Mapping[str, str], sources: Sources) -> dict[str, object]:
    picture, taken = picture_of(sources.signature), taken_by(sources.signature)
    known = {"resize_type", "mean_values", "scale_values", "reverse_input_channels", "pad_value"}
    if picture is None or taken is None or truth(said.get("embedded_processing")) or not known & set(said):
        return {}
    size, kind = picture[2], said.get("resize_type", "standard")
    if size is None:
        return {}
    if kind == "crop" and size[0] == size[1]:
        resize: Mapping[str, object] = {"resize": "shortest-side", "shortest": size[0]}
    elif kind in _RESIZES:
        resize = _RESIZES[kind]
    else:
        return {}
    prepared: dict[str, object] = {
        **taken, **resize, "size": list(size), "colour": "RGB" if truth(said.get("reverse_input_channels")) else "BGR",
        "fill": (numbers(said.get("pad_value", "0")) or [0.0])[0],
    }  # fmt: skip
    for name, key in (("mean", "mean_values"), ("std", "scale_values")):
        if values := numbers(said.get(key) or "None"):
            prepared[name] = values
    return prepared


def _decode(said: Mapping[str, str], sources: Sources) -> dict[str, object]:
    kind = said.get("model_type", "").lower().replace("_", "").replace(" ", "")
    decoded = _kind(kind, said, sources)
    if decoded:
        for name, key in (("score", "confidence_threshold"), ("iou", "iou_threshold"), ("top_k", "topk")):
            if values := numbers(said.get(key) or "None"):
                decoded[name] = int(values[0]) if name == "top_k" else values[0]
    return decoded


def _kind(kind: str, said: Mapping[str, str], sources: Sources) -> dict[str, object]:
    outputs = [tensor.name for tensor in sources.signature.outputs]
    shape = sources.signature.outputs[0].shape
    if kind == "classification" and len(outputs) == 1:
        if truth(said.get("multilabel")):
            return {"kind": "multi-label", "activation": "sigmoid"}
        # Model API puts a softmax behind a model that has none.
        unknown = sources.softmax is None
        return {} if unknown else {"kind": "classification", "activation": "none" if sources.softmax else "softmax"}
    if kind == "ssd" and len(outputs) == 1 and shape and shape[-1] == 7:
        return {"kind": "ssd", "space": "unit"}
    if kind in ("ssd", "maskrcnn") and {"boxes", "labels"} <= set(outputs):
        masks: dict[str, object] = {"masks": "box"} if "masks" in outputs else {}
        return {"kind": "boxes", "outputs": {"classes": "labels"}, **masks}
    if kind in ("yolov8", "yolo8", "yolov11", "yolo11") and len(outputs) == 1:
        return {"kind": "yolov8"}
    if kind == "segmentation" and len(outputs) == 1:
        return {"kind": "semantic-segmentation"}
    if kind == "anomalydetection" and len(outputs) == 1:
        thresholds = {"score": "image_threshold", "threshold": "pixel_threshold"}
        found = {name: numbers(said[key])[0] for name, key in thresholds.items() if numbers(said.get(key) or "None")}
        return {"kind": "anomaly-map", "outputs": {"map": outputs[0]}, **found}
    return {}

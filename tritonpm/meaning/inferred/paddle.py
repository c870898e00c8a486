"""What PaddleX, PaddleOCR and PaddleClas export beside a model: inference.yml.

Source: the transforms and post-processings that its document names; one that is not known here leaves all unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tritonpm.meaning.inferred.found import Found, names, numbers, taken_by, value_of

if TYPE_CHECKING:
    from tritonpm.meaning.inferred import Sources

_IGNORED = {"ToCHWImage", "KeepKeys", "DecodeImage"} | {"DetLabelEncode", "MultiLabelEncode", "CTCLabelEncode"}
_DIVISOR, _LONG_DIVISOR = 32, 128  # what the sides of a text detector's input are multiples of


def read(sources: Sources) -> Found | None:
    """What inference.yml says."""
    said = sources.beside.get("inference.yml")
    if not isinstance(said, Mapping) or not isinstance(said.get("PreProcess"), Mapping):
        return None
    after = said.get("PostProcess") if isinstance(said.get("PostProcess"), Mapping) else {}
    decoded, labels = _decode(after or {}, said.get("Global"))
    return Found("PaddleX", _preprocess(said["PreProcess"], sources), decoded, labels)


def _preprocess(said: Mapping[str, Any], sources: Sources) -> dict[str, object]:
    prepared, cropped = taken_by(sources.signature), None
    operations = said.get("transform_ops")
    if prepared is None or not isinstance(operations, list):
        return {}
    for operation in operations:
        if not isinstance(operation, Mapping) or len(operation) != 1:
            return {}
        ((name, options),) = operation.items()
        options = options if isinstance(options, Mapping) else {}
        if name == "DecodeImage":
            prepared["colour"] = str(options.get("img_mode", "RGB"))
        elif name == "CropImage":
            cropped = [int(side) for side in numbers(options.get("size"))]
        elif name in _OPERATIONS:
            step = _OPERATIONS[name](options)
            if step is None:
                return {}
            prepared |= step
        elif name not in _IGNORED:
            return {}
    if cropped:
        prepared["size"] = cropped if len(cropped) == 2 else cropped * 2
    return prepared if "resize" in prepared else {}


def _normalised(options: Mapping[str, Any]) -> dict[str, object] | None:
    scale, mean, std = (value_of(options.get(name)) for name in ("scale", "mean", "std"))
    if not isinstance(scale, int | float) or not numbers(mean) or not numbers(std):
        return None
    return {"scale": float(scale), "mean": numbers(mean), "std": numbers(std)}


def _detecting(options: Mapping[str, Any]) -> dict[str, object] | None:
    if "image_shape" in options:
        sides = [int(side) for side in numbers(options["image_shape"])]
        return None if options.get("keep_ratio") else {"resize": "stretch", "size": sides[-2:]}
    if long := numbers(options.get("resize_long")):
        return {"resize": "fit", "size": [int(long[0])] * 2, "multiple": _LONG_DIVISOR, "multiple_above": True}
    side = int((numbers(options.get("limit_side_len")) or [736])[0])
    kind = options.get("limit_type", "min")
    if kind == "max":
        return {"resize": "fit", "size": [side, side], "enlarge": False, "multiple": _DIVISOR}
    return (
        {"resize": "shortest-side", "shortest": side, "reduce": False, "multiple": _DIVISOR} if kind == "min" else None
    )


def _recognising(options: Mapping[str, Any]) -> dict[str, object] | None:
    sides = [int(side) for side in numbers(options.get("image_shape"))]
    if len(sides) != 3:
        return None
    return {
        "resize": "height", "size": sides[1:], "position": "top-left", "fill": 127.5, "scale": 1 / 255, "mean": [0.5],
        "std": [0.5],
    }  # fmt: skip


def _resized(options: Mapping[str, Any]) -> dict[str, object] | None:
    if shortest := numbers(options.get("resize_short")):
        return {"resize": "shortest-side", "shortest": int(shortest[0])}
    sides = [int(side) for side in numbers(options.get("size"))]
    return {"resize": "stretch", "size": sides if len(sides) == 2 else sides * 2} if sides else None


_OPERATIONS = {
    "NormalizeImage": _normalised, "DetResizeForTest": _detecting, "RecResizeImg": _recognising,
    "ResizeImage": _resized,
}  # fmt: skip


def _decode(said: Mapping[str, Any], globally: Any) -> tuple[dict[str, object], tuple[str, ...]]:
    if said.get("name") == "DBPostProcess":
        keys = {"threshold": "thresh", "score": "box_thresh", "unclip": "unclip_ratio"}
        usual = {"threshold": 0.3, "score": 0.6, "unclip": 1.5}
        found = {name: (numbers(said.get(key)) or [usual[name]])[0] for name, key in keys.items()}
        most = int((numbers(said.get("max_candidates")) or [1000])[0])
        return {"kind": "ocr-detection", "most": most, **found}, ()
    if said.get("name") == "CTCLabelDecode":
        characters = names(said.get("character_dict") or ())
        spaced = not (isinstance(globally, Mapping) and globally.get("use_space_char") is False)
        return {"kind": "ocr-recognition", "space_character": spaced and " " not in characters}, characters
    best = said.get("Topk")
    if isinstance(best, Mapping):
        return {"kind": "classification", "top_k": int((numbers(best.get("topk")) or [5])[0])}, names(
            best.get("label_list") or ()
        )
    return {}, ()

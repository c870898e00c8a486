"""What transformers and timm keep beside a model: preprocessor_config.json and config.json.

Source: transformers' image processors and `post_process_*`; timm's `pretrained_cfg` and its evaluation transform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tritonpm.meaning.inferred.found import BYTE, Found, names, numbers, picture_of, taken_by

if TYPE_CHECKING:
    from tritonpm.meaning.inferred import Sources

_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic", 4: "area"}  # Pillow's numbers
_SOFTMAX = ("Detr", "Yolos", "TableTransformer")  # whose last class is none; the others have a sigmoid
_SIGMOID = ("ConditionalDetr", "DeformableDetr", "RTDetr", "RTDetrV2", "DFine", "Deta", "DabDetr")


def read(sources: Sources) -> Found | None:
    """What the two documents say; each may be missing."""
    config, processor = (_mapping(sources.beside.get(f"{name}.json")) for name in ("config", "preprocessor_config"))
    if pretrained := _mapping(config.get("pretrained_cfg")):
        return _timm(config, pretrained, sources)
    if not config.get("architectures") and not _kind_of(processor):
        return None
    text = "tokenizer.json" in sources.beside and any(one.name == "input_ids" for one in sources.signature.inputs)
    prepared: dict[str, object] = {"tokenizer": sources.folder + "tokenizer.json"} if text else {}
    prepared = prepared or _preprocess(processor, sources)
    return Found("transformers", prepared, _decode(config, sources), names(config.get("id2label") or ()))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _kind_of(processor: Mapping[str, Any]) -> str:
    return str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "")


def _preprocess(said: Mapping[str, Any], sources: Sources) -> dict[str, object]:
    """{} where it says something that is not known here: another interpolation, an offset, padding to a size."""
    taken, resize = taken_by(sources.signature), _resize(said)
    strange = any(said.get(key) for key in ("rescale_offset", "do_thumbnail", "do_align_long_axis", "pad_size"))
    if taken is None or resize is None or strange or not _kind_of(said):
        return {}
    interpolation = _RESAMPLE.get(said.get("resample", 2))
    if interpolation is None:
        return {}
    prepared: dict[str, object] = {**taken, **resize, "interpolation": interpolation, "antialias": True}
    if said.get("do_flip_channel_order"):
        prepared["colour"] = "BGR"
    if said.get("do_rescale", True):
        prepared["scale"] = said.get("rescale_factor", BYTE)
    if said.get("do_normalize"):
        mean, std = numbers(said.get("image_mean")), numbers(said.get("image_std"))
        if not mean or not std:
            return {}
        prepared |= {"mean": mean, "std": std}
    others = {tensor.name for tensor in sources.signature.inputs}
    if "pixel_mask" in others:
        prepared["geometry"] = {"pixel_mask": "pixel-mask"}
    return prepared


def _resize(said: Mapping[str, Any]) -> dict[str, object] | None:
    """None where it cannot be told."""
    size, crop = said.get("size"), said.get("crop_size")
    cropped = _sides(crop) if said.get("do_center_crop") else None
    if not said.get("do_resize", True):
        return {"resize": "none"} if cropped is None else None
    if isinstance(size, int):  # a square for these, the shortest side for others
        square = _kind_of(said).startswith(("ViT", "DeiT", "Beit", "Segformer", "Yolos")) and cropped is None
        size = {"height": size, "width": size} if square else {"shortest_edge": size} if cropped else None
    if not isinstance(size, Mapping):
        return None
    if whole := _sides(size):
        if cropped is not None and cropped != whole:
            return None
        return {"resize": "stretch", "size": whole}
    shortest = size.get("shortest_edge")
    if not isinstance(shortest, int):
        return None
    share = said.get("crop_pct")
    if isinstance(share, int | float) and share and shortest < 384:  # ConvNeXT
        cropped, shortest = [shortest, shortest], int(shortest / share)
    longest = size.get("longest_edge")
    resize: dict[str, object] = {"resize": "shortest-side", "shortest": shortest}
    return resize | ({"size": cropped} if cropped else {}) | ({"longest": longest} if longest else {})


def _sides(size: Any) -> list[int] | None:
    if isinstance(size, int):
        return [size, size]
    sides = [_mapping(size).get("height"), _mapping(size).get("width")]
    return [int(side) for side in sides if side] if all(isinstance(side, int) for side in sides) else None


def _decode(config: Mapping[str, Any], sources: Sources) -> dict[str, object]:
    architecture = next((str(one) for one in config.get("architectures") or () if isinstance(one, str)), "")
    outputs = {tensor.name for tensor in sources.signature.outputs}
    family, _, task = architecture.partition("For")
    if "logits" not in outputs:
        return {}
    if task in ("ImageClassification", "SequenceClassification"):
        if config.get("problem_type") == "regression":
            return {"kind": "regression", "outputs": {"values": "logits"}}
        if config.get("problem_type") == "multi_label_classification":
            return {"kind": "multi-label", "activation": "sigmoid", "score": 0.5, "outputs": {"scores": "logits"}}
        return {"kind": "classification", "activation": "softmax", "outputs": {"scores": "logits"}}
    if task == "SemanticSegmentation":
        return {"kind": "semantic-segmentation", "outputs": {"scores": "logits"}}
    if task == "ObjectDetection" and "pred_boxes" in outputs:
        roles = {"kind": "detr", "score": 0.5, "outputs": {"scores": "logits", "boxes": "pred_boxes"}}
        if family in _SOFTMAX:
            return {**roles, "activation": "softmax", "background": "last"}
        return {**roles, "activation": "sigmoid"} if family in _SIGMOID else {}
    return {}


def _timm(config: Mapping[str, Any], said: Mapping[str, Any], sources: Sources) -> Found:
    labels = names(said.get("label_names") or config.get("label_names") or ())
    taken, picture = taken_by(sources.signature), picture_of(sources.signature)
    size = [int(side) for side in numbers(said.get("test_input_size") or said.get("input_size"))][1:]
    if picture is not None and picture[2] is not None:
        size = list(picture[2])
    mean, std, share = (
        numbers(said.get("mean")),
        numbers(said.get("std")),
        said.get("test_crop_pct", said.get("crop_pct")),
    )
    known = said.get("interpolation") in ("nearest", "bilinear", "bicubic") and isinstance(share, int | float)
    prepared: dict[str, object] = {}
    if taken is not None and known and len(size) == 2 and mean and std and share:
        resize: dict[str, object] = {"resize": "shortest-side", "shortest": math.floor(min(size) / share)}
        if said.get("crop_mode", "center") == "squash":
            resize = {"resize": "stretch"}
        whole = (resize["resize"] == "stretch" and share == 1) or said.get("crop_mode", "center") == "center"
        values: dict[str, object] = {"mean": mean, "std": std, "interpolation": said["interpolation"]}
        if whole:
            prepared = {**taken, **resize, **values, "size": size, "antialias": True, "scale": BYTE}
    one = len(sources.signature.outputs) == 1 and config.get("num_classes", 0) != 0
    decoded: dict[str, object] = {"kind": "classification", "activation": "softmax"} if one else {}
    return Found("timm", prepared, decoded, labels)

"""What torchvision's weights say of themselves, where an exporter kept it: `categories`, and `transforms` as text.

Source: `Weights.meta["categories"]`, and how the presets in torchvision.transforms write themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tritonpm.meaning.inferred.found import BYTE, Found, names, numbers, taken_by

if TYPE_CHECKING:
    from tritonpm.meaning.inferred import Sources

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


def read(sources: Sources) -> Found | None:
    """Of the two keys; the presets of detection, segmentation and classification say what the model is for."""
    text, labels = sources.metadata.get("transforms", ""), names(sources.metadata.get("categories", ""))
    preset = re.match(r"\s*(ImageClassification|ObjectDetection|SemanticSegmentation)\((.*)\)\s*$", text, re.DOTALL)
    if not preset:
        return Found("torchvision", labels=labels) if labels else None
    arguments = {key: value.strip() for key, value in re.findall(r"(\w+)=(\[[^\]]*\]|[^,\n]+)", preset[2])}
    taken = taken_by(sources.signature)
    prepared = {} if taken is None else _preprocess(preset[1], arguments, taken)
    return Found("torchvision", prepared, _decode(preset[1], sources), labels)


def _preprocess(preset: str, said: dict[str, str], taken: dict[str, object]) -> dict[str, object]:
    if preset == "ObjectDetection":
        return {**taken, "resize": "none", "scale": BYTE}
    interpolation = said.get("interpolation", "").rpartition(".")[2].lower()
    resize, crop = ([int(side) for side in numbers(said.get(f"{name}_size", ""))] for name in ("resize", "crop"))
    mean, std = numbers(said.get("mean", "")), numbers(said.get("std", ""))
    if interpolation not in _INTERPOLATIONS or len(resize) != 1 or not mean or not std:
        return {}
    values: dict[str, object] = {"mean": mean, "std": std, "interpolation": interpolation, "antialias": True}
    if preset == "ImageClassification" and len(crop) == 1:
        values["size"] = crop * 2
    return {**taken, "resize": "shortest-side", "shortest": resize[0], "scale": BYTE, **values}


def _decode(preset: str, sources: Sources) -> dict[str, object]:
    outputs = [tensor.name for tensor in sources.signature.outputs]
    if preset == "ObjectDetection":
        named = {"boxes", "labels", "scores"} <= set(outputs)
        return {"kind": "boxes", "outputs": {"classes": "labels"}, "background": "first", "background_named": True,
                "score": 0.5} if named else {}  # fmt: skip
    if preset == "SemanticSegmentation":
        scores = "out" if "out" in outputs else outputs[0] if len(outputs) == 1 else ""
        return {"kind": "semantic-segmentation", "outputs": {"scores": scores}} if scores else {}
    return {"kind": "classification", "activation": "softmax"} if len(outputs) == 1 else {}

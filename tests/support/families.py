"""Models of families that PyPI brings, with weights of chance: small, exported as people export them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_KEPT: list[Any] = []  # torch forgets the operators of a library that nobody holds


def torchvision() -> Any:
    """torchvision, also beside a PyTorch without CUDA, for which PyPI's wheel cannot load its operators."""
    import torch

    spec = find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    try:
        import torchvision

        return torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
    registered = (Path(spec.origin).parent / "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "FRAGMENT")
    _KEPT.append(library)
    for name in sorted(set(re.findall(r"torchvision::(\w+)", registered)) - {"nms"}):
        library.define(f"{name}(Tensor x) -> Tensor")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    import torchvision

    torchvision.extension._has_ops = _loaded
    return torchvision


def _loaded() -> bool:
    return True


def _nms(boxes: Any, scores: Any, threshold: float) -> Any:
    import torch

    order, kept = scores.argsort(descending=True, stable=True), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        corner = torch.maximum(boxes[best, :2], boxes[order, :2])
        sides = (torch.minimum(boxes[best, 2:], boxes[order, 2:]) - corner).clamp(min=0)
        shared = sides[:, 0] * sides[:, 1]
        order = order[shared / (areas[best] + areas[order] - shared) <= threshold]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def module(model: Any, call: Callable[..., Any]) -> Any:
    """A model that is called in another way, as one that can be exported."""
    import torch

    class Called(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *arguments: Any) -> Any:
            return call(*arguments)

    return Called()


def export(model: Any, path: Path, example: Any, inputs: list[str], outputs: list[str], axes: Any = None) -> None:
    """As ONNX, by tracing."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model.eval(), example, str(path), input_names=inputs, output_names=outputs, dynamic_axes=axes, dynamo=False,
        opset_version=17,
    )  # fmt: skip

"""Train packages that inspect parts, in two minutes on two cores: `python examples/train_parts.py [FOLDER]`.

parts-detector.zip    where the washers and plates are: one with the head and the output of today's YOLO exports
parts-defects.zip     whether a part, cut out, is good, scratched or stained
parts-inspection.zip  both in a cascade: what the first finds is cut out for the second
They say how a picture becomes their input and what their output means. Needs PyTorch: `pip install torch`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_packages import npz, package
from numpy.typing import NDArray
from parts import DEFECTS, PARTS, Scene, scenes
from torch import Tensor, nn
from torch.nn import functional

from tritonpm.core.tensors import Array
from tritonpm.meaning import spec
from tritonpm.meaning.preprocess import prepare

SIDE, STRIDE, CROP = 128, 8, 32
TRAIN, CALIBRATION, TEST = 1, 2, 3  # seeds
DETECTOR_INPUT: dict[str, Any] = {"resize": "letterbox", "size": [SIDE, SIDE], "fill": 114.0, "scale": 1 / 255}
DETECTOR_OUTPUT: dict[str, Any] = {"kind": "yolov8", "score": 0.4, "iou": 0.5}
DEFECT_INPUT: dict[str, Any] = {"resize": "stretch", "size": [CROP, CROP], "scale": 1 / 255}
DEFECT_OUTPUT: dict[str, Any] = {"kind": "classification", "activation": "softmax", "top_k": 1}
MARGIN = 0.1  # of a part's sides, around it
VERDICT = {"parts are there": {"at_least": 1}, "none is damaged": {"said": ["scratch", "stain"], "at_most": 0}}
SHOWN, ROWS = 64, 8  # inputs in a package's samples, and in each of them: what a server takes at once


@dataclass(frozen=True)
class Effort:
    """How many pictures are drawn to train with, and how often each is seen."""

    pictures: int = 800
    detector_epochs: int = 14
    defect_epochs: int = 14


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Detector(nn.Module):
    """[batch, 3, SIDE, SIDE] → [batch, 4 + classes, cells]: centre and size in pixels, then each class's score."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(3, 12, 2), _block(12, 24, 2), _block(24, 48, 2), _block(48, 48))
        self.sides, self.classes = nn.Conv2d(48, 4, 1), nn.Conv2d(48, len(PARTS), 1)
        nn.init.constant_(self.classes.bias, -4.0)  # next to none of the cells has a part
        cells = (torch.arange(SIDE // STRIDE) + 0.5) * STRIDE
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        self.register_buffer("centres", torch.stack([x.flatten(), y.flatten()])[None])

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Corners [batch, 4, cells] in pixels, and the classes' logits."""
        seen = self.body(images)
        away = functional.softplus(self.sides(seen)).flatten(2) * STRIDE
        corners = torch.cat([self.centres - away[:, :2], self.centres + away[:, 2:]], 1)
        return corners, self.classes(seen).flatten(2)

    def forward(self, images: Tensor) -> Tensor:
        """What is exported."""
        corners, logits = self.raw(images)
        first, last = corners[:, :2], corners[:, 2:]
        return torch.cat([(first + last) / 2, last - first, logits.sigmoid()], 1)


def defect_classifier() -> nn.Module:
    """[batch, 3, CROP, CROP] → [batch, defects]: logits."""
    return nn.Sequential(
        _block(3, 24), _block(24, 32, 2), _block(32, 48, 2), _block(48, 64, 2), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(64, len(DEFECTS)),
    )  # fmt: skip


def prepared(picture: Array, said: dict[str, Any]) -> Array:
    """A picture as an input, as the package says it becomes one."""
    return prepare(picture, spec.preprocess(said), {"images": "FP32"}).inputs["images"][0]


def in_input(scene: Scene) -> Array:
    """The parts' corners in the detector's input."""
    geometry = prepare(scene.picture, spec.preprocess(DETECTOR_INPUT), {"images": "FP32"}).geometry
    return geometry.to_input(scene.boxes.reshape(-1, 2, 2)).reshape(-1, 4)


def train_detector(drawn: Sequence[Scene], epochs: int) -> Detector:
    """A cell learns the part whose middle is near it: which it is, and how far its sides are."""
    images = torch.from_numpy(np.stack([prepared(scene.picture, DETECTOR_INPUT) for scene in drawn]))
    targets = [_targets(scene) for scene in drawn]
    labels, corners = (torch.from_numpy(np.stack(part)) for part in zip(*targets, strict=True))
    model = Detector()

    def loss(rows: Tensor) -> Tensor:
        got, logits = model.raw(images[rows])
        wanted, own = labels[rows], corners[rows]
        chance = logits.sigmoid()
        focus = torch.where(wanted > 0, 1 - chance, chance) ** 2
        scored = (focus * functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()
        there = wanted.amax(1) > 0
        missed = 1 - _overlap(got.transpose(1, 2)[there], own.transpose(1, 2)[there])
        return (scored + 2 * missed.sum()) / max(1, int(there.sum()))

    _fit(model, len(drawn), epochs, 32, loss)
    return model


def _targets(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    side = SIDE // STRIDE
    labels, corners = np.zeros((len(PARTS), side, side), np.float32), np.zeros((4, side, side), np.float32)
    for box, part in zip(in_input(scene), scene.parts, strict=True):
        x, y = (box[:2] + box[2:]) / 2 / STRIDE - 0.5
        for row in {int(np.floor(y)), int(np.ceil(y))}:
            for column in {int(np.floor(x)), int(np.ceil(x))}:
                if 0 <= row < side and 0 <= column < side:
                    labels[part, row, column], corners[:, row, column] = 1, box
    return labels.reshape(len(PARTS), -1), corners.reshape(4, -1)


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union, row by row."""
    sides = (torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])).clamp(min=0)
    shared = sides.prod(1)
    return shared / ((one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - shared + 1e-6)


def cut_out(scene: Scene, random: np.random.Generator | None = None) -> Array:
    """The parts of a picture as the classifier's inputs [n, 3, CROP, CROP]; with `random`, as a detector is off."""
    crops = []
    for left, top, right, bottom in scene.boxes:
        off = random.normal(0, 0.04, 4) if random else np.zeros(4)
        grown = np.array([-MARGIN, -MARGIN, MARGIN, MARGIN]) + off
        wide, high = right - left, bottom - top
        corners = np.array([left, top, right, bottom]) + grown * np.array([wide, high, wide, high])
        x0, y0 = np.floor(np.clip(corners[:2], 0, None)).astype(int)
        x1, y1 = np.ceil(corners[2:]).astype(int)
        crops.append(prepared(scene.picture[y0:y1, x0:x1], DEFECT_INPUT))
    return np.stack(crops) if crops else np.zeros((0, 3, CROP, CROP), np.float32)


def train_classifier(drawn: Sequence[Scene], epochs: int) -> nn.Module:
    """Learns from each part as it is cut out twice, a little beside it."""
    random = np.random.default_rng(TRAIN)
    images = torch.from_numpy(np.concatenate([cut_out(scene, random) for _ in range(2) for scene in drawn]))
    labels = torch.from_numpy(np.concatenate([scene.defects for _ in range(2) for scene in drawn]))
    model = defect_classifier()

    def loss(rows: Tensor) -> Tensor:
        turned = images[rows]
        for axis in (2, 3):
            turned = turned.flip(axis) if torch.rand(()) < 0.5 else turned
        return functional.cross_entropy(model(turned), labels[rows])

    _fit(model, len(images), epochs, 64, loss)
    return model


def _fit(model: nn.Module, count: int, epochs: int, batch: int, loss: Any) -> None:
    model.train()
    steps = epochs * (count // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(count)[: count // batch * batch].split(batch):
            optimiser.zero_grad()
            loss(rows).backward()
            optimiser.step()
            schedule.step()
    model.eval()


def exported(model: nn.Module, example: Tensor, output: str) -> bytes:
    """An ONNX model with any number of rows."""
    made = io.BytesIO()
    torch.onnx.export(
        model, (example,), made, input_names=["images"], output_names=[output], opset_version=17, dynamo=False,
        dynamic_axes={"images": {0: "batch"}, output: {0: "batch"}},
    )  # fmt: skip
    return made.getvalue()


def _stage(name: str, task: str, model: bytes, inputs: Array, said: tuple[dict[str, Any], ...]) -> tuple[Any, Any]:
    """A stage's entry in package.yaml, and its files."""
    labels, first, then = said
    parts = {
        f"{name}/inputs-{at // ROWS}.npz": npz(images=inputs[at : at + ROWS]) for at in range(0, len(inputs), ROWS)
    }
    files, samples = {f"{name}/model.onnx": model, **parts}, [{"inputs": path} for path in parts]
    entry = {"name": name, "task": task, "model": f"{name}/model.onnx", "labels": labels, "samples": samples}
    return {**entry, "preprocess": first, "decode": then}, files


def make(folder: Path, effort: Effort = Effort()) -> None:
    """Train both models, and write the packages into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    drawn, shown = scenes(effort.pictures, TRAIN), scenes(SHOWN, CALIBRATION)
    detector = train_detector(drawn, effort.detector_epochs)
    classifier = train_classifier(drawn, effort.defect_epochs)
    inputs = np.stack([prepared(scene.picture, DETECTOR_INPUT) for scene in shown])
    crops = np.concatenate([cut_out(scene) for scene in shown])[:SHOWN]
    one, files = _stage(
        "detect", "object-detection", exported(detector, torch.zeros(1, 3, SIDE, SIDE), "output0"), inputs,
        (list(PARTS), DETECTOR_INPUT, DETECTOR_OUTPUT),
    )  # fmt: skip
    package({"name": "parts-detector", "stages": [one]}, files, folder / "parts-detector.zip")
    two, more = _stage(
        "defect", "image-classification", exported(classifier, torch.zeros(1, 3, CROP, CROP), "scores"), crops,
        (list(DEFECTS), DEFECT_INPUT, DEFECT_OUTPUT),
    )  # fmt: skip
    package({"name": "parts-defects", "stages": [two]}, more, folder / "parts-defects.zip")
    cut = {"name": "cut", "task": "postprocessing", "crop": {"margin": MARGIN}}
    whole = {
        "name": "parts-inspection",
        "stages": [one, cut, two],
        "samples": [{"inputs": "inputs.npz"}],
        "verdict": VERDICT,
    }
    package(whole, {**files, **more, "inputs.npz": npz(images=inputs[:1])}, folder / "parts-inspection.zip")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "packages")
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()

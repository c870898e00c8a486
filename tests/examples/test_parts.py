"""The examples that inspect parts: trained for real, and as good through Triton as in PyTorch, in each precision."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from PIL import Image

import tritonpm.client
from tests.support.cropped import crop as cut
from tests.support.workspaces import QUICKLY, opened
from tritonpm.convert.agreement import judged
from tritonpm.convert.meant import meant
from tritonpm.core.tensors import Array
from tritonpm.core.types import Task
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.decode.about import activated, overlaps
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.objects import Classification, Detection, Objects
from tritonpm.meaning.spec import decode
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.optimize.jobs import start, to_optimise_for, watch
from tritonpm.operations.predictor import predictor_of
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop
from tritonpm.package import inspect
from tritonpm.settings.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import parts
import train_parts

pytestmark = [pytest.mark.long, pytest.mark.server]

TRIED = train_parts.Effort(96, 4, 1)  # not good at it, but the same everywhere
TAUGHT = train_parts.Effort(300, 10, 14)  # a third of what the example itself does
MAP, OVERLAP, RIGHT = 0.85, 0.75, 0.85  # mean average precision at IoU 0.5; mean IoU; share of defects told right


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root, _ = init(tmp_path_factory.mktemp("parts") / "workspace")
    context = opened(root)
    serve(context, None, **QUICKLY)
    yield context
    stop(context, 40)


def answers(context: Context, name: str, pictures: Sequence[Array]) -> tuple[Objects, ...]:
    with connect(context, "grpc") as client:
        return predictor_of(context, name, client)(pictures)


class Plainly:
    """The cascade without Triton: each model in ONNX Runtime, all between them in NumPy."""

    def __init__(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as files:
            self.detect, self.defect = (
                onnxruntime.InferenceSession(files.read(f"{stage}/model.onnx")) for stage in ("detect", "defect")
            )

    def __call__(self, picture: Array) -> list[tuple[Detection, list[float]]]:
        """What is found in the detector's input, and how likely each defect of it is."""
        image = train_parts.prepared(picture, train_parts.DETECTOR_INPUT)
        output = self.detect.run(None, {"images": image[np.newaxis]})[0]
        spec, size = decode(train_parts.DETECTOR_OUTPUT), identity(*image.shape[1:])
        (objects,) = decoded({"output0": output}, spec, parts.PARTS, [size])
        found = []
        for one in objects[:8]:
            assert isinstance(one, Detection)
            box = np.array([one.box.left, one.box.top, one.box.right, one.box.bottom])
            crop = cut(image, box, train_parts.MARGIN, (train_parts.CROP,) * 2).astype(np.float32)
            logits = self.defect.run(None, {"images": crop[np.newaxis]})[0][0]
            found.append((one, activated(logits, "softmax").tolist()))
        return found


def require_same(got: Objects, wanted: list[tuple[Detection, list[float]]]) -> None:
    """The cascade's answer through Triton is the plain one; the picture lies 16 pixels below the input's edge."""
    assert len(got) == len(wanted)
    for one, (other, chances) in zip(got, wanted, strict=True):
        assert isinstance(one, Detection)
        assert (one.name, one.score) == (other.name, pytest.approx(other.score, abs=1e-4))
        assert (one.box.left, one.box.right) == pytest.approx((other.box.left, other.box.right), abs=0.05)
        (best,) = one.answers
        assert isinstance(best, Classification)
        assert best.score == pytest.approx(max(chances), abs=2e-3)
        assert best.name == parts.DEFECTS[int(np.argmax(chances))]


def test_the_cascade_answers_as_plain_numpy_does(
    served: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(train_parts.DETECTOR_OUTPUT, "score", 0.02)  # it is sure of nothing yet
    train_parts.make(tmp_path, TRIED)
    archive = tmp_path / "parts-inspection.zip"
    import_package(served, archive, name="tried")
    load(served, "tried")
    plainly, pictures = Plainly(archive), [scene.picture for scene in parts.scenes(12, train_parts.TEST)]
    wanted = [plainly(picture) for picture in pictures]
    for got, other in zip(answers(served, "tried", pictures), wanted, strict=True):
        require_same(got, other)
    assert sum(map(len, wanted)) > 3  # it has learnt that much


def average_precision(found: Sequence[Objects], scenes: Sequence[Any]) -> tuple[float, float, float]:
    """(mean average precision at IoU 0.5, mean IoU of what was found, share of those whose defect is told right)."""
    precisions, shares, right = [], [], []
    for part, name in enumerate(parts.PARTS):
        ranked = sorted(
            ((one, index) for index, objects in enumerate(found) for one in objects
             if isinstance(one, Detection) and one.name == name), key=lambda pair: -pair[0].score,
        )  # fmt: skip
        free = [list(np.flatnonzero(scene.parts == part)) for scene in scenes]
        total, hits = sum(map(len, free)), []
        for one, index in ranked:
            box = np.array([one.box.left, one.box.top, one.box.right, one.box.bottom])
            share = overlaps(box, scenes[index].boxes[free[index]]) if free[index] else np.zeros(1)
            hits.append(share.max() >= 0.5)
            if hits[-1]:
                place = free[index].pop(int(share.argmax()))
                shares.append(share.max())
                right += [said.name == parts.DEFECTS[scenes[index].defects[place]] for said in one.answers[:1]]
        true = np.cumsum(hits)
        precision = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
        precisions.append(float((precision * hits).sum() / total))
    return float(np.mean(precisions)), float(np.mean(shares)), float(np.mean(right)) if right else 0.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train_parts.make(folder, TAUGHT)
    return folder


@pytest.mark.parametrize("precision", ["FP32", "FP16", "INT8"])
def test_as_good_in_each_precision(served: Context, trained: Path, precision: str) -> None:
    scenes = parts.scenes(100, train_parts.TEST)
    pictures = [scene.picture for scene in scenes]
    for package in ("parts-detector", "parts-inspection"):
        if package not in {entry.name for entry in served.catalogue.packages()}:
            import_package(served, trained / f"{package}.zip")
        if precision != "FP32":
            job = start(served, package, to_optimise_for(served, package, {"precision": precision}))
            assert job is not None
            watch(served, job.id)
        load(served, package)
        assert {one.agreement.state for one in show(served, package).optimisations} <= {"verified"}
        quality = average_precision(answers(served, package, pictures), scenes)
        print(package, precision, *(f"{figure:.3f}" for figure in quality))
        assert quality[:2] >= (MAP, OVERLAP) and quality[1] >= OVERLAP
        assert package == "parts-detector" or quality[2] >= RIGHT


def test_no_less_good_where_crops_are_of_the_picture(served: Context, trained: Path) -> None:
    """Of pictures three times as large, too, of which the detector is given a third."""
    scenes = parts.scenes(100, train_parts.TEST)
    large = [Image.fromarray(scene.picture).resize((3 * parts.WIDTH, 3 * parts.HEIGHT)) for scene in scenes]
    larger = [replace(scene, boxes=scene.boxes * 3) for scene in scenes]
    qualities = {}
    for serve_as in ("tensors", "image"):
        import_package(served, trained / "parts-inspection.zip", name=f"as-{serve_as}", again=True)
        change(served, f"as-{serve_as}", {"serve": serve_as})
        load(served, f"as-{serve_as}")
        qualities[serve_as] = [
            average_precision(answers(served, f"as-{serve_as}", shown), true)
            for shown, true in (
                ([scene.picture for scene in scenes], scenes),
                ([np.asarray(one) for one in large], larger),
            )
        ]
        print(serve_as, qualities[serve_as])
    for quality, before in zip(qualities["image"], qualities["tensors"], strict=True):
        assert quality[:2] >= (MAP, OVERLAP) and quality[1] >= OVERLAP
        assert quality[2] >= max(RIGHT, before[2] - 0.02)


def test_the_verdict_is_right_nearly_always(served: Context, trained: Path) -> None:
    name = "parts-inspection"
    if name not in {entry.name for entry in served.catalogue.packages()}:
        import_package(served, trained / f"{name}.zip")
    load(served, name)
    scenes = parts.scenes(100, train_parts.TEST)
    with tritonpm.client.use(name, project="p", workspace=served.workspace.root) as model:
        got = [model.judge(scene.picture).ok for scene in scenes]
    wanted = [len(scene.parts) > 0 and not scene.defects.any() for scene in scenes]
    assert np.mean(np.equal(got, wanted)) >= RIGHT


def without_scores(model: bytes) -> bytes:
    """The detector with every class score zero, and its boxes as they were."""
    made = onnx.load_from_string(model)
    made.graph.initializer.append(numpy_helper.from_array(np.array([1] * 4 + [0] * 2, np.float32)[:, None], "kept"))
    for node in made.graph.node:
        for index, name in enumerate(node.output):
            if name == "output0":
                node.output[index] = "whole"
    made.graph.node.append(helper.make_node("Mul", ["whole", "kept"], ["output0"]))
    return bytes(made.SerializeToString())


def test_a_detector_whose_scores_are_zeroed_is_refused_as_int8(trained: Path) -> None:
    package = inspect(trained / "parts-detector.zip")
    with zipfile.ZipFile(trained / "parts-detector.zip") as files:
        original = files.read("detect/model.onnx")
    images = np.stack([train_parts.prepared(s.picture, train_parts.DETECTOR_INPUT) for s in parts.scenes(16, 9)])
    want, got = (
        {"output0": onnxruntime.InferenceSession(model).run(None, {"images": images})[0]}
        for model in (original, without_scores(original))
    )
    known = meant(meaning_of(package, Settings()))
    assert judged(want, want, precision="INT8", task=Task.OBJECT_DETECTION, meant=known).state == "verified"
    assert judged(want, got, precision="INT8", task=Task.OBJECT_DETECTION, meant=known).state == "failed"

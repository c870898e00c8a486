"""What is cut out is what the decoders find, with the colours that the next stage takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cropped import crop as plain_crop
from tritonpm.core.tensors import Array
from tritonpm.core.types import Shape, Signature, Tensor
from tritonpm.meaning.crops import CROPS, Neighbour, colours, made
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.objects import Detection
from tritonpm.meaning.spec import Crop, Decode, Preprocess
from tritonpm.meaning.stages import Meaning

HEIGHT, WIDTH, ROWS = 40, 56, 20


def corners(random: np.random.Generator) -> Array:
    first, size = random.uniform(0, 30, (ROWS, 2)), random.uniform(4, 22, (ROWS, 2))
    return np.concatenate([first, first + size], axis=1)


def centred(random: np.random.Generator) -> Array:
    boxes = corners(random)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def columns(more: int) -> Any:
    return lambda r: {"o": np.concatenate([centred(r).T, r.random((3 + more, ROWS))])[None]}


def prototyped(random: np.random.Generator) -> dict[str, Array]:
    return {**columns(2)(random), "p": random.random((1, 2, 8, 8))}


def yolov5(random: np.random.Generator) -> dict[str, Array]:
    return {"o": np.concatenate([centred(random), random.random((ROWS, 4)) ** 0.5], axis=1)[None]}


def end_to_end(random: np.random.Generator) -> dict[str, Array]:
    rest = random.random((ROWS, 1)), random.integers(0, 3, (ROWS, 1))
    return {"o": np.concatenate([corners(random), *rest], axis=1)[None]}


def counted(random: np.random.Generator) -> dict[str, Array]:
    return {
        "count": np.array([[random.integers(0, ROWS + 1)]]), "boxes": corners(random)[None],
        "scores": random.random((1, ROWS)), "classes": random.integers(0, 3, (1, ROWS)),
    }  # fmt: skip


def shares(random: np.random.Generator) -> dict[str, Array]:
    boxes = corners(random)[:, [1, 0, 3, 2]] / np.array([HEIGHT, WIDTH, HEIGHT, WIDTH])
    return {"boxes": boxes, "scores": random.random((ROWS, 3))}


KINDS: dict[str, tuple[Decode, Any]] = {
    "yolov5": (Decode("yolov5"), yolov5),
    "yolov8": (Decode("yolov8", score=0.5, most=5), columns(0)),
    "agnostic": (Decode("yolov8", iou=0.3, agnostic=True, activation="sigmoid", score=0.6), columns(0)),
    "segment": (Decode("yolov8-segment", {"predictions": "o", "prototypes": "p"}), prototyped),
    "pose": (Decode("yolov8-pose", keypoints=(2, 3)), columns(6)),
    "yolov10": (Decode("yolov10", score=0.4), end_to_end),
    "efficient-nms": (Decode("efficient-nms"), counted),
    "boxes": (Decode("boxes", boxes="yxyx", space="unit", activation="softmax", score=0.35), shares),
}
FIRST = Preprocess(size=(HEIGHT, WIDTH), scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
NEXT = Preprocess(size=(5, 4), colour="BGR", scale=0.5, mean=(1.0, 2.0, 3.0))


def tensor(name: str, shape: Shape, dtype: str = "FP32") -> Tensor:
    return Tensor(name, dtype, shape)


def run(spec: Decode, answer: dict[str, Array], image: Array, target: Preprocess = NEXT, dtype: str = "FP32") -> Any:
    """The outputs of the crop stage by name."""
    batched = {k: ("b", *v.shape[1:]) if v.ndim > 2 or len(v) == 1 else v.shape for k, v in answer.items()}
    batched |= {"o": ("b", "rows", "columns")} if "o" in answer else {}  # as PyTorch exports what it has not computed
    kinds = {k: "INT64" if v.dtype.kind == "i" else "FP32" for k, v in answer.items()}
    outputs = tuple(tensor(k, shape, kinds[k]) for k, shape in batched.items())
    size = target.size or (0, 0)
    taken = ("b", *size, target.channels) if target.layout == "NHWC" else ("b", target.channels, *size)
    of = Neighbour("of", Signature((tensor("x", ("b", 3, "h", "w")),), outputs), Meaning(FIRST, spec))
    into = Neighbour("into", Signature((tensor("x", taken, dtype),), ()), Meaning(target))
    model = made("cut", Crop(margin=0.2, most=6), of, into)
    assert model.into == {"x": "cut.crops"}
    session = onnxruntime.InferenceSession(model.model)
    given_ = {k: v if v.dtype.kind == "i" else v.astype(np.float32) for k, v in answer.items()}
    names = (CROPS, "boxes", "scores", "classes")  # in this order, whatever the detector calls its own
    return dict(zip(names, session.run(None, {"x": image, **given_}), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1 << 30), none=st.booleans())
@settings(max_examples=5)
def test_it_cuts_out_what_the_decoder_finds(kind: str, seed: int, none: bool) -> None:
    spec, answers = KINDS[kind]
    random = np.random.default_rng(seed)
    answer = {name: array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
              for name, array in answers(random).items()}  # fmt: skip
    if none:
        spec = Decode(**{**vars(spec), "score": 1.5})
    image = random.random((1, 3, HEIGHT, WIDTH)).astype(np.float32)
    got = run(spec, answer, image)
    (wanted,) = decoded(answer, spec, (), [identity(HEIGHT, WIDTH)])
    found = [one for one in wanted if isinstance(one, Detection)][:6]
    boxes = np.array([[b.left, b.top, b.right, b.bottom] for b in (one.box for one in found)]).reshape(-1, 4)
    np.testing.assert_allclose(got["boxes"], boxes, atol=1e-3)
    np.testing.assert_allclose(got["scores"], [one.score for one in found], rtol=1e-5)
    assert got["classes"].tolist() == [one.class_id for one in found]
    assert len(got[CROPS]) == max(1, len(found))
    pixels = (image[0] * np.array(FIRST.std)[:, None, None] + np.array(FIRST.mean)[:, None, None]) * 255
    for cut, box in zip(got[CROPS], got["boxes"].astype(float), strict=False):
        plain = plain_crop(pixels, box, 0.2, (5, 4))[::-1] * 0.5 - np.array([1.0, 2.0, 3.0])[:, None, None]
        np.testing.assert_allclose(cut, plain, rtol=1e-3, atol=0.05)


def test_crops_have_the_layout_and_the_type_of_the_next_stage() -> None:
    spec, answers = KINDS["yolov8"]
    target = Preprocess(size=(5, 4), colour="GRAY", layout="NHWC", dtype="UINT8")
    image = np.full((1, 3, HEIGHT, WIDTH), 0.25, np.float32)
    got = run(spec, answers(np.random.default_rng(0)), image, target, "UINT8")[CROPS]
    assert (got.dtype, got.shape[1:]) == (np.uint8, (5, 4, 1))
    grey = (0.25 * np.array([0.2, 0.3, 0.4]) + np.array([0.4, 0.5, 0.6])) * 255 @ np.array([0.299, 0.587, 0.114])
    assert np.abs(got.astype(float) - grey).max() <= 0.51


@pytest.mark.parametrize(("one", "other"), [("RGB", "GRAY"), ("BGR", "GRAY"), ("BGR", "RGB"), ("GRAY", "BGR")])
def test_colours(one: Any, other: Any) -> None:
    kernel, bias = colours(Preprocess(size=(1, 1), colour=one), Preprocess(size=(1, 1), colour=other))
    red_green_blue = np.array([100.0, 150.0, 50.0]) if one != "GRAY" else np.array([80.0] * 3)
    given_ = {"RGB": red_green_blue, "BGR": red_green_blue[::-1], "GRAY": red_green_blue[:1]}[one]
    grey = [float(red_green_blue @ [0.299, 0.587, 0.114])]
    wanted = {"RGB": red_green_blue, "BGR": red_green_blue[::-1], "GRAY": grey}[other]
    np.testing.assert_allclose(kernel @ given_ + bias, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [(Decode("ssd"), "kind ssd cannot be cut out"), (Decode("boxes", space="picture"), "pixels, which are not those")],
)
def test_what_cannot_be_cut_out_is_said(spec: Decode, sentence: str) -> None:
    answer = {"boxes": np.zeros((4, 4)), "scores": np.zeros(4), "predictions": np.zeros((1, 4, 7))}
    with pytest.raises(ValueError, match=sentence):
        run(spec, answer, np.zeros((1, 3, HEIGHT, WIDTH), np.float32))

"""Pictures become inputs in the server as `meaning.prepare` makes them: to the pixel, at every size, in a batch."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tritonpm.convert.conversion import ConversionError
from tritonpm.convert.front.graph import LEAST_OPSET, OPSET
from tritonpm.convert.front.pieces import MODEL, PLACES, pictures
from tritonpm.core.tensors import Array
from tritonpm.core.types import Signature, Tensor
from tritonpm.meaning.pictures import made_up
from tritonpm.meaning.preprocess import prepare, undone
from tritonpm.meaning.spec import Preprocess

SIZES = ((64, 64), (37, 91), (480, 333), (11, 200), (300, 20), (5, 5), (1, 1))
TENTH = 0.1  # of a grey level


def session(spec: Preprocess, opset: int = OPSET) -> tuple[ort.InferenceSession, dict[str, str]]:
    """The piece, and its model's inputs."""
    dtypes = {"x": spec.dtype, **dict.fromkeys(spec.geometry, "FP32")}
    signature = Signature(tuple(Tensor(name, dtype, None) for name, dtype in dtypes.items()), ())
    piece = pictures(spec, signature, batched=spec.layout[0] == "N", opset=opset)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return ort.InferenceSession(piece.model, options), dtypes


def require_same(spec: Preprocess, sizes: tuple[tuple[int, int], ...] = SIZES, opset: int = OPSET) -> None:
    """The piece makes of pictures what the plain way makes of them."""
    piece, dtypes = session(spec, opset)
    rows = 2 if spec.layout[0] == "N" else 1
    for number, size in enumerate(sizes):
        shown = [made_up(*size, seed=number + row) for row in range(rows)]
        values = piece.run(None, {"image": np.stack(shown)})
        made = dict(zip((output.name for output in piece.get_outputs()), values, strict=True))
        for row, picture in enumerate(shown):
            want = prepare(picture, spec, dtypes)
            geometry = want.geometry
            lies = [*geometry.picture, *geometry.input, *geometry.scale, *geometry.offset]
            assert made[PLACES][row].tolist() == lies
            for name, array in want.inputs.items():
                got = made[MODEL + name][row : row + 1] if rows > 1 else made[MODEL + name]
                assert got.shape == array.shape and got.dtype == array.dtype
                level = TENTH * spec.scale / min(spec.std) if spec.dtype == "FP32" else 1
                assert np.abs(got.astype(np.float64) - array).max() <= (level if name == "x" else 0), (size, name)


RESIZED = [
    {"resize": "stretch", "size": (40, 56)},
    {"resize": "letterbox", "size": (64, 64), "fill": 114.0, "scale": 1 / 255, "colour": "BGR"},
    {"resize": "shortest-side", "shortest": 48, "size": (40, 40), "scale": 1 / 255, "mean": (0.4, 0.5, 0.6),
     "std": (0.2, 0.3, 0.25)},
    {"resize": "fit", "size": (64, 80), "multiple": 32, "layout": "NHWC"},
    {"resize": "height", "size": (32, 100), "colour": "GRAY"},
]  # fmt: skip
KERNELS = list(itertools.product(("nearest", "bilinear", "bicubic", "area"), (False, True)))


@pytest.mark.parametrize("resize", RESIZED, ids=lambda said: said["resize"])
@pytest.mark.parametrize(("interpolation", "antialias"), KERNELS)
def test_every_way_to_resize(resize: dict[str, object], interpolation: str, antialias: bool) -> None:
    require_same(Preprocess(**resize, interpolation=interpolation, antialias=antialias))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        Preprocess(resize="none", layout="CHW"),
        Preprocess(resize="none", layout="HWC", dtype="UINT8"),
        Preprocess(resize="shortest-side", shortest=33, longest=70, multiple=4,
                   geometry={"mask": "pixel-mask", "step": "scale-factor"}),
        Preprocess(resize="letterbox", size=(64, 64), position="top-left", enlarge=False, dtype="UINT8",
                   geometry={"mask": "pixel-mask", "is": "input-size", "was": "picture-size-wh"}),
        Preprocess(resize="shortest-side", shortest=20, size=(40, 40), fill=7.0),  # smaller than what is cut out
        Preprocess(resize="fit", size=(90, 60), reduce=False, multiple=8, multiple_above=True),
        Preprocess(size=(24, 24), dtype="FP16", mean=(127.5,), std=(127.5,)),
    ],
)  # fmt: skip
def test_what_else_may_be_said(spec: Preprocess) -> None:
    require_same(spec)


def test_an_older_opset_does_the_same() -> None:
    require_same(Preprocess(**RESIZED[2], antialias=True), opset=LEAST_OPSET)  # type: ignore[arg-type]


@given(st.integers(1, 400), st.integers(1, 400), st.integers(8, 96), st.sampled_from(["letterbox", "shortest-side"]))
@settings(max_examples=30, deadline=None)
def test_sides_and_places_are_the_same_to_the_pixel(height: int, width: int, side: int, resize: str) -> None:
    spec = Preprocess(resize=resize, size=(64, 64), shortest=side, enlarge=side % 3 > 0)  # type: ignore[arg-type]
    require_same(spec, ((height, width),))


def test_the_picture_that_an_input_shows() -> None:
    spec = Preprocess(size=(30, 20), colour="BGR", scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
    picture = made_up(30, 20)
    (shown,) = undone(prepare(picture, spec, {"x": "FP32"}).inputs["x"], spec)
    assert np.array_equal(shown, picture)


def test_a_size_that_the_model_does_not_take_is_refused() -> None:
    signature = Signature((Tensor("x", "FP32", ("batch", 3, 32, 32)),), ())
    with pytest.raises(ConversionError, match=r"says \[64, 64\], but 'x' takes \[32, 32\]"):
        pictures(Preprocess(size=(64, 64)), signature, batched=True)


def test_an_input_may_be_called_image() -> None:
    signature = Signature((Tensor("image", "FP32", ("batch", 3, 8, 8)),), ())
    piece = pictures(Preprocess(size=(8, 8)), signature, batched=True)
    made: Array = ort.InferenceSession(piece.model).run([MODEL + "image"], {"image": made_up(9, 9)[np.newaxis]})[0]
    assert made.shape == (1, 3, 8, 8)

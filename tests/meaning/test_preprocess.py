"""A picture as a model's input: where it lies, and what its pixels are, held to Pillow, PyTorch and OpenCV's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image

from tritonpm.core.tensors import Array
from tritonpm.meaning.preprocess import Prepared, placed, prepare, stacked
from tritonpm.meaning.resampling import resized
from tritonpm.meaning.spec import plain, preprocess

PICTURE = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)


def prepared(picture: Array = PICTURE, inputs: tuple[str, ...] = ("x",), **said: Any) -> Prepared:
    return prepare(picture, preprocess(said), dict.fromkeys(inputs, "FP32"))


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("sides", [(20, 30), (80, 90), (37, 20), (64, 64)])
def test_antialiased_as_pillow(method: str, sides: tuple[int, int]) -> None:
    calm = PICTURE // 2 + 64  # Pillow cuts off what a sharper kernel makes of black and white
    ours = resized(calm.astype(np.float32), sides, method, antialias=True)
    image = Image.fromarray(calm).resize(sides[::-1], getattr(Image.Resampling, method.upper()))
    assert_allclose(np.clip(ours, 0, 255), np.asarray(image, np.float32), atol=1.6)  # Pillow rounds twice


@pytest.mark.parametrize("sides", [(20, 30), (80, 90), (37, 20)])
def test_area_as_pillow_where_it_gets_smaller(sides: tuple[int, int]) -> None:
    ours = resized(PICTURE.astype(np.float32), (18, 26), "area", antialias=False)
    box = Image.fromarray(PICTURE).resize((26, 18), Image.Resampling.BOX, reducing_gap=None)
    assert abs(float(ours.mean()) - float(np.asarray(box).mean())) < 2
    even = resized(PICTURE[:36, :52].astype(np.float32), (18, 26), "area", antialias=False)
    assert_allclose(even, PICTURE[:36, :52].reshape(18, 2, 26, 2, 3).mean(axis=(1, 3)), rtol=1e-5)


@pytest.mark.long  # torch takes seconds to import
@pytest.mark.parametrize(
    ("method", "antialias"), [("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True)]
)
@pytest.mark.parametrize("sides", [(20, 30), (80, 90), (11, 130)])
def test_as_pytorch(method: str, antialias: bool, sides: tuple[int, int]) -> None:
    import torch

    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1).float()[None]
    want = torch.nn.functional.interpolate(tensor, sides, mode=method, antialias=antialias, align_corners=False)
    ours = resized(PICTURE.astype(np.float32), sides, method, antialias=antialias)
    assert_allclose(ours, want[0].permute(1, 2, 0).numpy(), atol=2e-2)


def test_nothing_is_done_where_nothing_is_asked_for() -> None:
    same = prepared(resize="none")
    assert_allclose(same.inputs["x"], PICTURE.transpose(2, 0, 1)[np.newaxis])
    assert same.geometry.to_picture(np.array([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_colours_and_layout() -> None:
    assert_allclose(prepared(resize="none", colour="BGR", layout="NHWC").inputs["x"][0], PICTURE[..., ::-1])
    grey = prepared(resize="none", colour="GRAY", layout="CHW").inputs["x"]
    assert grey.shape == (1, 37, 53)
    assert_allclose(grey[0], np.asarray(Image.fromarray(PICTURE).convert("L")), atol=1)
    assert (
        prepare(PICTURE, preprocess({"resize": "none", "dtype": "UINT8"}), {"x": "UINT8"}).inputs["x"].dtype == np.uint8
    )


def test_scaled_then_the_mean_then_the_deviation() -> None:
    ours = prepared(resize="none", scale=1 / 255, mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4]).inputs["x"][0, 1]
    assert_allclose(ours, (PICTURE[..., 1] / 255 - 0.4) / 0.3, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "sides", "canvas", "corner"),
    [
        ({"resize": "stretch", "size": [20, 30]}, (20, 30), (20, 30), (0, 0)),
        ({"resize": "fit", "size": [64, 64]}, (32, 64), (32, 64), (0, 0)),
        ({"resize": "fit", "size": [400, 400], "enlarge": False}, (100, 200), (100, 200), (0, 0)),
        ({"resize": "fit", "size": [150, 150], "multiple": 32}, (64, 160), (64, 160), (0, 0)),
        ({"resize": "fit", "size": [150, 150], "multiple": 32, "multiple_above": True}, (96, 160), (96, 160), (0, 0)),
        ({"resize": "letterbox", "size": [64, 64]}, (32, 64), (64, 64), (16, 0)),
        ({"resize": "letterbox", "size": [65, 64]}, (32, 64), (65, 64), (16, 0)),  # the odd pixel is below
        ({"resize": "letterbox", "size": [64, 64], "position": "top-left"}, (32, 64), (64, 64), (0, 0)),
        ({"resize": "shortest-side", "shortest": 50}, (50, 100), (50, 100), (0, 0)),
        ({"resize": "shortest-side", "shortest": 50, "longest": 80}, (40, 80), (40, 80), (0, 0)),
        ({"resize": "shortest-side", "shortest": 50, "size": [40, 40]}, (50, 100), (40, 40), (-5, -30)),
        ({"resize": "shortest-side", "shortest": 50, "reduce": False}, (100, 200), (100, 200), (0, 0)),
        ({"resize": "height", "size": [48, 320], "position": "top-left"}, (48, 96), (48, 320), (0, 0)),
        ({"resize": "height", "size": [48, 64], "position": "top-left"}, (48, 96), (48, 96), (0, 0)),
    ],
)
def test_where_a_picture_lies(
    said: dict[str, Any], sides: tuple[int, int], canvas: tuple[int, int], corner: tuple[int, int]
) -> None:
    assert placed(100, 200, preprocess(said)) == (sides, canvas, corner)


def test_what_is_filled_up_is_the_fill() -> None:
    whole = prepared(resize="letterbox", size=[64, 64], fill=114).inputs["x"][0, 0]
    assert (whole[:9] == 114).all() and (whole[-10:] == 114).all()
    assert not (whole[10:-10] == 114).all()


def test_a_crop_keeps_the_middle() -> None:
    crop = prepared(resize="shortest-side", shortest=37, size=[21, 21]).inputs["x"][0]
    assert_allclose(crop, PICTURE[8:29, 16:37].transpose(2, 0, 1))


def test_other_inputs_are_told_of_the_picture() -> None:
    told = {
        "size": "input-size",
        "original": "picture-size",
        "wh": "picture-size-wh",
        "factor": "scale-factor",
        "mask": "pixel-mask",
    }
    inputs = prepared(PICTURE, ("x", *told), input="x", resize="letterbox", size=[64, 106], geometry=told).inputs
    assert inputs["size"].tolist() == [[64, 106]]
    assert inputs["original"].tolist() == [[37, 53]]
    assert inputs["wh"].tolist() == [[53, 37]]
    assert_allclose(inputs["factor"], [[64 / 37, 92 / 53]], rtol=1e-6)
    assert inputs["mask"].shape == (1, 64, 106) and inputs["mask"].sum() == 64 * 92


def test_pictures_of_one_size_are_a_batch() -> None:
    both = stacked([prepared(resize="stretch", size=[8, 8]), prepared(PICTURE[:20], resize="stretch", size=[8, 8])])
    assert both["x"].shape == (2, 3, 8, 8)


@given(
    st.integers(1, 500), st.integers(1, 500), st.sampled_from(["stretch", "fit", "letterbox", "shortest-side", "height"]),
    st.integers(8, 200), st.integers(8, 200), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_a_point_finds_its_way_back(
    height: int, width: int, resize: str, tall: int, wide: int, x: float, y: float
) -> None:
    spec = preprocess({"resize": resize, "size": [tall, wide], "shortest": min(tall, wide)})
    sides, canvas, corner = placed(height, width, spec)
    assert all(side >= 1 for side in (*sides, *canvas))
    from tritonpm.meaning.geometry import Geometry

    geometry = Geometry((height, width), canvas, (sides[0] / height, sides[1] / width), corner)
    point = np.array([x * width, y * height])
    assert_allclose(geometry.to_picture(geometry.to_input(point)), point, atol=1e-6)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"resize": "letterbox"}, "needs a size"),
        ({"resize": "shortest-side"}, "needs `shortest`"),
        ({"size": [0, 4]}, "1 to 16384 pixels"),
        ({"size": [4, 4], "std": [0.0]}, "not 0"),
        ({"size": [4, 4], "mean": [0.0, 1.0]}, "one value or 3"),
        ({"size": [4, 4], "colours": "RGB"}, "there is no 'colours'"),
        ({"size": [4, "a"]}, r"size\[1\]: Expected"),
        ({"size": [4, 4], "scale": float("inf")}, "finite"),
    ],
)
def test_what_cannot_be_is_said(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        preprocess(said)


def test_a_spec_says_itself() -> None:
    spec = preprocess({"resize": "letterbox", "size": [64, 64], "fill": 114})
    assert plain(spec) == {"resize": "letterbox", "size": [64, 64], "fill": 114.0}
    assert preprocess(plain(spec)) == spec

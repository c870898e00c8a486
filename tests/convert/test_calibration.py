"""Pictures that INT8 is calibrated on: prepared as the stage says, and never unpacked where they would fill memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tritonpm.convert.calibration import read, rows
from tritonpm.convert.conversion import Artefact, ConversionError, Options
from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format, Signature, Tensor
from tritonpm.meaning.preprocess import prepare
from tritonpm.meaning.spec import preprocess

FIXED = Signature((Tensor("x", "FP32", ("n", 3, 8, 8)),), ())
FREE = Signature((Tensor("x", "FP32", ("n", 3, "h", "w")), Tensor("sizes", "FP32", ("n", 2))), ())
FIRST = preprocess(
    {
        "input": "x", "colour": "BGR", "resize": "letterbox", "size": [8, 8], "fill": 114, "scale": 1 / 255,
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "geometry": {"sizes": "picture-size"},
    }
)  # fmt: skip


def test_a_picture_is_prepared_as_the_stage_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = Options(samples=(str(tmp_path / "a.png"),), preprocess=FIRST)
    [row] = rows(Artefact(Format.ONNX, tmp_path, FREE), options)
    want = prepare(pixels, FIRST, {"x": "FP32", "sizes": "FP32"}).inputs
    assert set(row) == {"x", "sizes"}
    assert (row["x"] == want["x"]).all() and row["sizes"].tolist() == [[6, 12]]


def test_where_nobody_says_it_a_picture_is_stretched(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), (255, 0, 7)).save(tmp_path / "red.png")
    plain = read(tmp_path / "red.png", FIXED)["x"]
    assert plain.shape == (1, 3, 8, 8)
    assert np.allclose(plain[0, :, 4, 4], [255, 0, 7])
    with pytest.raises(ConversionError, match="declare its preprocess"):
        read(tmp_path / "red.png", FREE)


@pytest.mark.parametrize("side", [8_193, 20_000])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "x.png")
    with pytest.raises(PackageError, match="pixels"):
        read(tmp_path / "x.png", FIXED)

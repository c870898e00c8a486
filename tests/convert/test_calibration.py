"""Images that would fill memory."""

from __future__ import annotations

import pytest
from PIL import Image

from tritonpm.convert.calibration import read
from tritonpm.convert.conversion import ConversionError
from tritonpm.core.types import Signature, Tensor


@pytest.mark.parametrize("side", [10_001, 20_000])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path, side):
    Image.new("1", (side, side)).save(tmp_path / "x.png")
    with pytest.raises(ConversionError, match="pixels"):
        read(tmp_path / "x.png", Signature((Tensor("x", "FP32", ("n", 3, 8, 8)),), ()))

"""`serve: image`: pictures go to the real server as they are, and objects come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.models import colours
from tritonpm.core.tensors import Array
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.server import connect
from tritonpm.operations.set import change

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("server")]
CLASSIFIED = {
    "serve": "image",
    "preprocess": {"resize": "stretch", "size": [16, 16], "scale": 1 / 255},
    "decode": {"kind": "classification", "top_k": 2},
}


def plain(colour: int, height: int, width: int) -> Array:
    """A picture of one colour."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., colour] = 200
    return pixels


def test_a_classifier_takes_pictures_of_any_size(context: Context, tmp_path: Path) -> None:
    (tmp_path / "colours.onnx").write_bytes(colours())
    import_package(context, tmp_path / "colours.onnx")
    change(context, "colours", CLASSIFIED)
    print(load(context, "colours"))
    with connect(context, "grpc") as client:
        for height, width in ((16, 16), (7, 40), (300, 120)):
            pictures = np.stack([plain(colour, height, width) for colour in (2, 0, 1)])
            answer = client.infer("colours", {"image": pictures})
            assert answer["classes"][:, 0].tolist() == [2, 0, 1]
            assert np.allclose(answer["scores"][:, 0], 200 / 255, atol=1e-3)
            assert set(answer) == {"classes", "scores"}

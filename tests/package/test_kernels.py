"""What a version of ONNX Runtime does not load, asked of the table that was measured; the newest one is asked itself."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.support.releases.kernels import joined
from tritonpm.core.errors import TritonpmError
from tritonpm.package.needs import locales, operators_without

NEWEST = "1.31.1"  # of the versions that were measured


def written(folder: Path, text: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def graph(body: str, inputs: str = "float[2,4,3] x", output: str = "float[2,4,3] y", opset: int = 17) -> str:
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]>'
    return f"{head} g ({inputs}) => ({output}) {{ {body} }}"


@pytest.mark.parametrize(
    ("body", "inputs", "output", "opset", "refused", "loaded"),
    [
        ("y = Add(x, x)", "bfloat16[4] x", "bfloat16[4] y", 14, {"1.19.2": "Add (opset 14, bfloat16)"}, ()),
        (
            "y = DFT<inverse = 1, onesided = 1>(x)", "float[1,6,10,2] x", "float[1,10,10,1] y", 17,
            {"1.19.2": "DFT (opset 17, inverse > 0, onesided > 0)"}, (NEWEST,),
        ),
        ("y = DFT<inverse = 1>(x)", "float[1,6,10,2] x", "float[1,6,10,2] y", 17, {}, ("1.19.2", NEWEST)),
        (
            "y, h = GRU<hidden_size = 6, layout = 1>(x, w, r)", "float[3,1,2] x, float[1,18,2] w, float[1,18,6] r",
            "float[3,1,1,6] y", 14, {"1.19.2": "GRU (opset 14, layout > 0)", NEWEST: "GRU (opset 14, layout > 0)"}, (),
        ),
        (
            "y, h = GRU<hidden_size = 6>(x, w, r)", "float[3,1,2] x, float[1,18,2] w, float[1,18,6] r",
            "float[3,1,1,6] y", 14, {}, ("1.19.2", NEWEST),
        ),
        (
            "y = RotaryEmbedding<rotary_embedding_dim = 4>(x, c, s, p)",
            "float[2,4,3,8] x, float[50,2] c, float[50,2] s, int64[2,3] p", "float[2,4,3,8] y", 23,
            {"1.23.1": "RotaryEmbedding (opset 23, without num_heads, rotary_embedding_dim > 0)"}, ("1.24.4",),
        ),
        (
            "y = Attention<left_window_size = 2>(x, x, x)", "float[2,3,4,8] x", "float[2,3,4,8] y", 25,
            {"1.24.4": "Attention (opset 25, with left_window_size)"}, (),
        ),
        (
            "y = ReverseSequence<batch_axis = 0, time_axis = 1>(x, n)", "float[4,4] x, int64[4] n", "float[4,4] y", 10,
            {}, ("1.19.2", NEWEST),
        ),
        ('y = BitShift<direction = "LEFT">(x, x)', "uint8[4] x", "uint8[4] y", 17, {}, ("1.19.2", NEWEST)),
        (
            'y = BitShift<direction = "LEFT">(x, x)', "uint16[4] x", "uint16[4] y", 17,
            {"1.19.2": "BitShift (opset 11, uint16)", NEWEST: "BitShift (opset 11, uint16)"}, (),
        ),
        ("y = ai.onnx.ml.LinearRegressor<coefficients = [2.0]>(x)", "float[4,1] x", "float[4,1] y", 17, {}, ("1.19.2", NEWEST)),
    ],
)  # fmt: skip
def test_what_a_version_does_not_load(
    tmp_path: Path, body: str, inputs: str, output: str, opset: int, refused: dict[str, str], loaded: tuple[str, ...]
) -> None:
    path = written(tmp_path, graph(body, inputs, output, opset))
    assert {version: operators_without(path, version) for version in refused} == {v: [s] for v, s in refused.items()}
    assert {version: operators_without(path, version) for version in loaded} == {version: [] for version in loaded}


def test_what_may_have_been_made_up_badly_is_not_said_to_be_refused(tmp_path: Path) -> None:
    """A node whose attribute the runtime finds wrong says nothing of the types that it has kernels for."""
    seen = [[["T=uint8", "@direction"], None], [["T=uint16", "@direction"], False]]
    (tmp_path / "1.19.2.json").write_text(json.dumps({"BitShift": {"11": seen}}))
    assert joined(tmp_path) == {"BitShift": {"11": {"T=uint16": ".."}}}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", ["en_US.UTF-8"]),
        ("<is_case_sensitive = 1>", []),
        ('<is_case_sensitive = 1, case_change_action = "LOWER">', ["en_US.UTF-8"]),
        ('<locale = "de_DE.UTF-8">', ["de_DE.UTF-8"]),
    ],
)
def test_locales_that_the_machine_must_have(tmp_path: Path, attributes: str, expected: list[str]) -> None:
    assert locales(written(tmp_path, graph(f"y = StringNormalizer{attributes}(x)", "string[4] x", "string[4] y"))) == (
        expected
    )


def test_no_model_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\xff")
    with pytest.raises(TritonpmError):
        locales(path)

"""A picture goes in, and objects come out, of the real server: in the terminal, as JSON, drawn, and in a client."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tritonpm.client
from tests.support.models import quadrants, scaled
from tests.support.packages import single
from tritonpm.cli.output import envelope
from tritonpm.core.errors import NotFoundError, PackageError, RuleError
from tritonpm.core.tensors import Array
from tritonpm.meaning.draw import drawn
from tritonpm.meaning.objects import Detection
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer, infer_pictures, labels_of
from tritonpm.operations.load import load
from tritonpm.operations.set import change
from tritonpm.operations.show import show


def picture(*coloured: tuple[int, slice, slice], height: int = 64, width: int = 64) -> Array:
    """Black, but for areas of one channel."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for channel, rows, columns in coloured:
        pixels[rows, columns, channel] = 255
    return pixels


RED = picture((0, slice(0, 32), slice(0, 32)))
BOTH = picture((0, slice(32, 64), slice(0, 32)), (1, slice(0, 32), slice(32, 64)))
NOTHING = picture()
WIDE = picture((0, slice(0, 32), slice(0, 32)), height=32)  # lies in the middle of the model's input


@pytest.fixture
def detector(context: Context, tmp_path: Path) -> Context:
    (tmp_path / "quarters.onnx").write_bytes(quadrants())
    import_package(context, tmp_path / "quarters.onnx")
    return context


def fields(context: Context) -> dict[str, tuple[object, str, bool]]:
    (stage,) = show(context, "quarters").stages_in_detail
    return {one.name: (one.value, one.said_by, one.inferred) for one in stage.meaning}


def test_settings_go_over_what_the_exporter_wrote(detector: Context) -> None:
    first = fields(detector)
    assert first["decode.kind"] == ("yolov8", "Ultralytics", True)
    assert first["preprocess.resize"] == ("letterbox", "Ultralytics", True)
    change(detector, "quarters", {"decode": {"score": 0.9}})
    assert fields(detector)["decode.score"] == (0.9, "settings", False)
    assert fields(detector)["decode.kind"] == first["decode.kind"]
    change(detector, "quarters", {"decode": {"kind": "yolov10"}})
    assert "decode.iou" not in fields(detector)  # what was said of another kind says nothing of this one
    change(detector, "quarters", {}, unset=["decode"])
    assert fields(detector) == first


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"decode": {"kind": "yolo"}}, "decode|kind"),
        ({"decode": {"scores": 1}}, "there is no 'scores'"),
        ({"decode": {"outputs": {"predictions": "y"}}}, "there is no output 'y'"),
        ({"preprocess": {"size": [0, 1]}}, "a side has 1 to"),
    ],
)
def test_what_cannot_be_is_refused(detector: Context, said: dict[str, object], sentence: str) -> None:
    with pytest.raises(RuleError, match=sentence):
        change(detector, "quarters", said)


def test_classes_are_named_only_of_what_classifies(detector: Context) -> None:
    assert labels_of(detector, "quarters") == ()
    change(detector, "quarters", {"decode": {"kind": "classification"}})
    assert labels_of(detector, "quarters") == ("red", "green")
    assert labels_of(detector, "nobody knows it") == ()


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_pictures_in_objects_out(detector: Context, tmp_path: Path) -> None:
    load(detector, "quarters")
    folder = tmp_path / "parts"
    folder.mkdir()
    shown = {"1": RED, "2": BOTH, "3": NOTHING, "4": WIDE}
    shown |= {f"5{index}": RED for index in range(9)}  # more than one request holds
    for name, pixels in shown.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    views = {
        Path(view.picture).stem: view for view in infer_pictures(detector, "quarters", folder, draw=tmp_path / "out")
    }
    assert list(views) == sorted(shown)
    found = {name: [(one["name"], one["box"]) for one in view.objects] for name, view in views.items()}
    assert found["1"] == [("red", [0.0, 0.0, 32.0, 32.0])]
    assert sorted(found["2"]) == [("green", [32.0, 0.0, 64.0, 32.0]), ("red", [0.0, 32.0, 32.0, 64.0])]
    assert found["3"] == []
    assert found["4"] == [("red", [0.0, 0.0, 32.0, 16.0]), ("red", [0.0, 16.0, 32.0, 32.0])]
    assert all(found[f"5{index}"] == found["1"] for index in range(9))
    data = json.loads(envelope("Pictures", tuple(views.values()), "json"))["data"]
    assert data[0]["objects"][0]["score"] == pytest.approx(1.0)
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(shown)
    assert (np.asarray(Image.open(tmp_path / "out" / "1.png")) != RED).any()
    assert (np.asarray(Image.open(tmp_path / "out" / "3.png")) == NOTHING).all()
    _client(detector)
    assert infer(detector, "quarters", None, None).sent.startswith("made-up pictures")
    with pytest.raises(NotFoundError, match="holds no pictures"):
        next(infer_pictures(detector, "quarters", tmp_path / "workspace"))
    (folder / "no.png").write_bytes(b"no picture")
    with pytest.raises(PackageError, match=r"no\.png: is not a picture"):
        list(infer_pictures(detector, "quarters", folder / "no.png"))


def _client(context: Context) -> None:
    with tritonpm.client.use("quarters", project="test", workspace=context.workspace.root) as model:
        (one,) = model.predict(RED)
        assert isinstance(one, Detection) and (one.name, one.box.right) == ("red", 32.0)
        assert [len(objects) for objects in model.predict_all([BOTH, NOTHING, WIDE])] == [2, 0, 2]


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_is_not_known_is_said_and_numbers_are_numbers(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    load(context, "p")
    np.savez(tmp_path / "x.npz", x=np.array([[0.5, 1, 2, 3]], np.float32))
    assert infer(context, "p", tmp_path / "x.npz", None).tensors[0].numbers == (1.0, 2.0, 4.0, 6.0)
    np.savez(tmp_path / "z.npz", z=np.zeros((1, 4), np.float32))
    with pytest.raises(PackageError, match="no input 'z'; its inputs are x"):
        infer(context, "p", tmp_path / "z.npz", None)
    _json(context, tmp_path / "x.json")
    Image.fromarray(RED).save(tmp_path / "red.png")
    with pytest.raises(PackageError, match="does not declare its `preprocess`"):
        list(infer_pictures(context, "p", tmp_path / "red.png"))


def _json(context: Context, path: Path) -> None:
    rows = [[0.5, 1, 2, 3 + number] for number in range(19)]  # more than one request holds
    most = show(context, "p").max_batch_size
    assert most and most < len(rows)
    flat = [value for row in rows for value in row]
    kserve = {"inputs": [{"name": "x", "shape": [19, 4], "datatype": "FP32", "data": flat}]}
    for document in (kserve, {"x": rows}, rows):
        path.write_text(json.dumps(document))
        (answer,) = infer(context, "p", path, None).tensors
        assert (answer.shape, answer.numbers) == ("19 x 4", tuple(2 * value for value in flat))
    for wrong, sentence in (
        ({"z": rows}, "no input 'z'"),
        ([["a"]], "are not FP32"),
        ([[1], [2, 3]], "are not FP32"),
        ({"x": {}}, "not FP32"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(PackageError, match=sentence):
            infer(context, "p", path, None)
    path.write_text("[[1,")
    with pytest.raises(PackageError, match="not readable JSON"):
        infer(context, "p", path, None)


def test_a_drawing_shows_the_mask_where_it_is() -> None:
    from tritonpm.meaning.objects import Box

    mask = np.zeros((64, 64), bool)
    mask[40:50, 40:50] = True
    one = Detection(Box(40, 40, 50, 50), 0.9, 0, "red", mask)
    changed = (np.asarray(drawn(NOTHING, (one,))) != NOTHING).any(axis=2)
    assert changed[40:50, 40:50].all()
    assert not changed[52:, :].any()

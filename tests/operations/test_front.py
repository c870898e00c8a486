"""`serve: image`: pictures go to the real server as they are, and objects come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.support.models import answering, colours, quadrants, reds
from tests.support.packages import single
from tritonpm.convert.front import pictures
from tritonpm.convert.front.graph import Graph
from tritonpm.core.errors import RenderError, RuleError, ServerError
from tritonpm.core.tensors import Array, save_npz
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.objects import Detection
from tritonpm.meaning.preprocess import prepare
from tritonpm.meaning.served import found
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer, infer_pictures
from tritonpm.operations.load import load
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.operations.seen import seen
from tritonpm.operations.server import connect
from tritonpm.operations.set import change, change_live, choose

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
    assert load(context, "colours").probe.endswith("the 2 objects that the original finds")
    with connect(context, "grpc") as client:
        for height, width in ((16, 16), (7, 40), (300, 120)):
            pictures = np.stack([plain(colour, height, width) for colour in (2, 0, 1)])
            answer = client.infer("colours", {"image": pictures})
            assert answer["classes"][:, 0].tolist() == [2, 0, 1]
            assert np.allclose(answer["scores"][:, 0], 200 / 255, atol=1e-3)
            assert set(answer) == {"classes", "scores"}


@pytest.mark.parametrize(("backend", "threads"), [("onnxruntime", 1), ("onnxruntime", 2), ("openvino", 1)])
def test_a_detector_finds_the_same_as_its_client(context: Context, tmp_path: Path, backend: str, threads: int) -> None:
    (tmp_path / "quarters.onnx").write_bytes(quadrants())
    import_package(context, tmp_path / "quarters.onnx")
    change(context, "quarters", {"serve": "image", "backend": backend, "threads": threads, "raw_outputs": True})
    load(context, "quarters")
    joined = (backend, threads) == ("onnxruntime", 1)
    assert len(wanted_revision(context, "quarters").models) == (1 if joined else 4)
    red, green = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    red[:32, :32, 0], green[32:, :32, 1] = 255, 200
    with connect(context, "grpc") as client:
        answer = client.infer("quarters", {"image": np.stack([red, green, 0 * red])})
        assert answer["count"].ravel().tolist() == [1, 1, 0]
        assert answer["boxes"][0, 0].tolist() == [0, 0, 32, 32] and answer["classes"][0, :2].tolist() == [0, -1]
        assert answer["boxes"][1, 0].tolist() == [0, 32, 32, 64] and answer["classes"][1, 0] == 1
        assert answer["scores"][1, 0] == pytest.approx(200 / 255, abs=1e-5)
        assert answer["raw.output0"].shape == (3, 6, 4)
        wide = client.infer("quarters", {"image": red[np.newaxis, :32]})
        assert wide["boxes"][0, :2].tolist() == [[0, 0, 32, 16], [0, 16, 32, 32]]


def test_masks_texts_turned_boxes_vectors_and_maps_come_back(context: Context, tmp_path: Path) -> None:
    """Of a red picture what was written down, of a black one nothing: as one model, and with the front apart."""
    for number, (name, (answers, decode)) in enumerate(SAID.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.onnx").write_bytes(answering(answers))
        labels = "[a, \u00fc, b]" if name == "texts" else "[part, other]"
        stage = f"{{name: model, model: m.onnx, labels: {labels}}}"
        (tmp_path / name / "package.yaml").write_text(f"schema: 1\nname: {name}\nversion: '1'\nstages: [{stage}]\n")
        import_package(context, tmp_path / name)
        said = {"serve": "image", "preprocess": CLASSIFIED["preprocess"], "decode": decode, "threads": 1 + number % 2}
        change(context, name, said)
        assert load(context, name).probe.startswith("answered made-up pictures")
    shown = np.zeros((2, 32, 16, 3), np.uint8)
    shown[0, ..., 0] = 255
    with connect(context, "grpc") as client:
        got = {name: client.infer(name, {"image": shown}) for name in SAID}
    assert got["masks"]["count"].ravel().tolist() == [1, 0] and got["masks"]["masks"].shape == (2, 1, 32, 16)
    assert got["masks"]["masks"][0, 0, 4:28, 2:14].all() and not got["masks"]["masks"][1].any()
    assert got["turned"]["count"].ravel().tolist() == [1, 0]
    assert got["turned"]["angles"][0, 0] == pytest.approx(0.5)
    assert got["vectors"]["vector"].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert got["map"]["map"].shape == (2, 32, 16) and got["map"]["anomalous"].ravel().tolist() == [True, False]
    count = int(got["texts"]["count"][0, 0])
    assert b"".join(got["texts"]["characters"][0, :count].tolist()).decode() == "a\u00fcb"
    assert got["texts"]["count"][1, 0] == 0
    Image.fromarray(shown[0]).save(tmp_path / "red.png")
    (view,) = infer_pictures(context, "masks", tmp_path / "red.png")
    assert view.objects[0]["mask"]["size"] == [32, 16]


@pytest.mark.parametrize("opset", [13, 18])
def test_texts_are_found_level_and_askew(context: Context, tmp_path: Path, opset: int) -> None:
    """Several pictures at once, of several sizes, which are letterboxed: as one model, and with the front apart."""
    (tmp_path / "texts.onnx").write_bytes(reds(opset))
    import_package(context, tmp_path / "texts.onnx")
    decode = {"kind": "ocr-detection", "threshold": 0.3, "score": 0.5, "unclip": 1.5}
    prepared = {"resize": "letterbox", "size": [320, 320], "scale": 1 / 255}
    change(context, "texts", {"serve": "image", "preprocess": prepared, "decode": decode, "threads": 1})
    load(context, "texts")
    assert len(wanted_revision(context, "texts").models) == (1 if opset == 18 else 4)
    meaning = meaning_of(context.catalogue.get("texts").package, context.catalogue.get("texts").settings)
    assert meaning.preprocess and meaning.decode
    with connect(context, "grpc") as client:
        for height, width in ((320, 320), (200, 600)):
            pages = np.stack([_page(height, width, turn) for turn in (0, 20)])
            answer = client.infer("texts", {"image": pages})
            assert answer["count"].ravel().tolist() == [2, 2] and answer["polygons"].shape == (2, 300, 4, 2)
            for page, got in zip(pages, found(answer, meaning.decode, ()), strict=True):
                given = prepare(page, meaning.preprocess, {"images": "FP32"})
                reds_there = {"map": given.inputs["images"][:, :1]}
                (want,) = decoded(reds_there, meaning.decode, (), [given.geometry])
                for one, other in zip(want, got, strict=True):
                    assert isinstance(one, Detection) and isinstance(other, Detection)
                    assert np.allclose(one.polygon, other.polygon, atol=0.01)
    Image.fromarray(_page(200, 600, 20)).save(tmp_path / "page.png")
    (view,) = infer_pictures(context, "texts", tmp_path / "page.png")
    assert [len(one["polygon"]) for one in view.objects] == [4, 4]


def _page(height: int, width: int, turn: float) -> Array:
    """A black page with two red lines of text, soft at the edges."""
    page = Image.new("L", (width, height))
    for number, brightness in enumerate((200, 250)):
        line = Image.new("L", (width // 2, 20), brightness).rotate(turn, expand=True)
        page.paste(line, (width // 5, height // 10 + number * height // 2), line)
    red = np.asarray(page.filter(ImageFilter.GaussianBlur(1.5)))
    return np.stack([red, 0 * red, 0 * red], axis=2)


_PREDICTED = np.array([8, 8, 12, 12, 0.9, 4.0], np.float32).reshape(1, 6, 1)
SAID: dict[str, tuple[dict[str, Array], dict[str, object]]] = {
    "masks": ({"p": _PREDICTED, "q": np.full((1, 1, 4, 4), 5, np.float32)},
              {"kind": "yolov8-segment", "outputs": {"predictions": "p", "prototypes": "q"}}),
    "turned": ({"p": np.array([8, 8, 12, 4, 0.9, 0.5], np.float32).reshape(1, 6, 1)}, {"kind": "yolov8-obb"}),
    "vectors": ({"v": np.array([[1, 2, 3]], np.float32)}, {"kind": "embedding"}),
    "map": ({"m": np.full((1, 1, 4, 4), 0.8, np.float32)}, {"kind": "anomaly-map", "outputs": {"map": "m"}}),
    "texts": ({"s": np.eye(4, dtype=np.float32)[[0, 1, 1, 0, 2, 3, 0]][np.newaxis]},
              {"kind": "ocr-recognition"}),
}  # fmt: skip


def test_infer_and_perf_hand_in_pictures(context: Context, tmp_path: Path) -> None:
    (tmp_path / "quarters.onnx").write_bytes(quadrants())
    import_package(context, tmp_path / "quarters.onnx")
    load(context, "quarters")
    red = np.zeros((64, 48, 3), np.uint8)
    red[:32, :24, 0] = 255
    Image.fromarray(red).save(tmp_path / "red.png")
    (before,) = infer_pictures(context, "quarters", tmp_path / "red.png")
    with connect(context) as client:
        asked = context.catalogue.get("quarters")
        painted = measuring_inputs(context, asked, client, "quarters")
        assert painted.source.startswith("made-up pictures, prepared as the package says")
        assert [row["images"].shape for row in painted.rows] == [(3, 32, 32), (3, 32, 32)]
        choose(context, "quarters", {}, calibration=tmp_path / "red.png")
        real = measuring_inputs(context, context.catalogue.get("quarters"), client, "quarters")
        assert real.source == "1 input that INT8 is calibrated on, in turn"
        assert np.allclose(np.unique(real.rows[0]["images"][1:]), [0, 114 / 255])  # its filling, and no green or blue
    change_live(context, "quarters", {"serve": "image"})
    (after,) = infer_pictures(context, "quarters", tmp_path / "red.png")
    assert before == after and len(after.objects) == 1
    with connect(context) as client:
        sent = measuring_inputs(context, context.catalogue.get("quarters"), client, "quarters", batch=2)
        assert (sent.request(2)["image"] == red).all()  # as it is: the server prepares it
        change(context, "quarters", {}, unset=["calibration"])
        sent = measuring_inputs(context, context.catalogue.get("quarters"), client, "quarters", batch=2)
        assert sent.request(2)["image"].shape == (2, 240, 320, 3)
        assert set(client.infer("quarters", sent.request(2))) == {"boxes", "scores", "classes", "count"}


def test_a_front_is_asked_with_what_a_sample_shows(context: Context, tmp_path: Path) -> None:
    single(tmp_path / "in", quadrants(), "quarters")
    red = np.zeros((1, 3, 32, 32), np.float32)
    red[0, 0, :16, :16] = 1.0
    save_npz(tmp_path / "in" / "i.npz", {"images": red})
    import_package(context, tmp_path / "in")
    change(context, "quarters", {"serve": "image"})
    load(context, "quarters")
    [classes] = [one for one in infer(context, "quarters", None, None).tensors if one.name == "classes"]
    assert classes.numbers[:2] == (0, -1)
    answer = seen(context, "quarters")
    [shown] = answer.pictures
    assert (shown.width, shown.height, [one.box.right for one in shown.objects]) == (32, 32, [16])
    Image.new("RGB", (64, 64), (255, 0, 0)).save(tmp_path / "red.png")
    assert [len(one.objects) for one in seen(context, "quarters", tmp_path / "red.png").pictures] == [4]


def test_a_front_that_sees_other_colours_is_not_loaded(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "colours.onnx").write_bytes(colours())
    import_package(context, tmp_path / "colours.onnx")
    change(context, "colours", CLASSIFIED)
    monkeypatch.setattr(pictures, "_coloured", lambda graph, pixels, _: _swapped(graph, pixels))
    with pytest.raises(ServerError, match="is not what the original finds"):
        load(context, "colours")


def _swapped(graph: Graph, pixels: str) -> str:
    return str(graph.op("Gather", pixels, np.array([2, 0, 1], np.int64), axis=1))


def test_a_model_of_one_picture_takes_one(context: Context, tmp_path: Path) -> None:
    """A fixed batch of 1 that cannot be freed: the front has it, too."""
    (tmp_path / "one.onnx").write_bytes(colours(batch=1))
    import_package(context, tmp_path / "one.onnx")
    change(context, "one", {**CLASSIFIED, "max_batch_size": 1})
    load(context, "one")
    with connect(context, "grpc") as client:
        assert client.infer("one", {"image": plain(1, 30, 20)[np.newaxis]})["classes"].ravel()[0] == 1


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"preprocess": {}}, "nothing says how a picture becomes the input"),
        ({"decode": {}}, "nothing says what the outputs"),
        ({"serve": "pictures"}, "serves tensors, image or encoded"),
        ({"preprocess": {"size": [8, 8]}}, r"says \[8, 8\], but 'images' takes \[16, 16\]"),
        ({"kept_versions": 2}, "version folders are for"),
    ],
)
def test_what_cannot_have_a_front_is_refused(
    context: Context, tmp_path: Path, said: dict[str, object], sentence: str
) -> None:
    (tmp_path / "colours.onnx").write_bytes(colours())
    import_package(context, tmp_path / "colours.onnx")
    with pytest.raises((RuleError, RenderError), match=sentence):
        change(context, "colours", {**CLASSIFIED, **said})
    assert context.catalogue.get("colours").settings.serve == "tensors"


def test_a_cascade_takes_pictures_and_its_samples_are_asked_as_such(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "package.yaml").write_text(TWO)
    (folder / "a.onnx").write_bytes(colours(pooled=False))
    (folder / "b.onnx").write_bytes(colours(source="m"))
    shown = np.stack([plain(colour, 16, 16) for colour in (1, 2)]).transpose(0, 3, 1, 2)
    save_npz(folder / "i.npz", {"images": shown.astype(np.float32) / np.float32(255)})
    import_package(context, folder)
    assert (
        load(context, "two").probe == "answered what 2 rows of its samples show: the 2 objects that the original finds"
    )
    with connect(context, "grpc") as client:
        answer = client.infer("two", {"image": plain(0, 50, 40)[np.newaxis]})
        assert set(answer) == {"classes", "scores"} and answer["classes"][0, 0] == 0


TWO = """
schema: 1
name: two
version: "1"
samples: [{inputs: i.npz}]
stages:
  - name: pictures
    model: a.onnx
    preprocess: {size: [16, 16], scale: 0.00392156862745098}
    serving: {serve: image}
  - {name: second, model: b.onnx, decode: {kind: classification, top_k: 1}, serving: {serve: image}}
"""

"""`serve: encoded`: JPEG and PNG go to the real server as files, and objects come back."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.models import colours, quadrants, showing
from tests.support.workspaces import publish
from tritonpm import client as clients
from tritonpm.core.errors import InferenceError, PackageError, UnsafeError
from tritonpm.core.tensors import Array
from tritonpm.meaning.objects import Classification
from tritonpm.meaning.pictures import encoded, made_up, read_picture
from tritonpm.meaning.preprocess import prepare
from tritonpm.meaning.spec import preprocess
from tritonpm.operations.context import Context
from tritonpm.operations.deploy import deployment
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer_pictures
from tritonpm.operations.lint import lint
from tritonpm.operations.load import load
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.rollback import rollback
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.operations.seen import seen
from tritonpm.operations.server import connect
from tritonpm.operations.set import change, change_live
from tritonpm.operations.verify import verify

ENCODED = {
    "serve": "encoded",
    "threads": 1,
    "preprocess": {"resize": "stretch", "size": [16, 16], "scale": 1 / 255},
    "decode": {"kind": "classification", "top_k": 2},
}
UPRIGHT = 6  # EXIF's word for a picture that a camera took lying on its side


def file(pixels: Array, format: str = "PNG", turned: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turned
    Image.fromarray(pixels).save(buffer, format, exif=exif)
    return buffer.getvalue()


def rows(*files: bytes) -> dict[str, Array]:
    return {"image": np.array([[one] for one in files], np.object_)}


def plain(colour: int, height: int = 30, width: int = 20) -> Array:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., colour] = 200
    return pixels


@pytest.fixture
def classifier(context: Context, tmp_path: Path) -> Context:
    (tmp_path / "colours.onnx").write_bytes(colours())
    import_package(context, tmp_path / "colours.onnx")
    change(context, "colours", ENCODED)
    return context


def _side_by_side(context: Context) -> None:
    """Each client gets its own answer, whatever the others send meanwhile."""
    kinds = [(colour, height) for colour in range(3) for height in (16, 33, 90)] * 4

    def ask(kind: tuple[int, int]) -> int:
        colour, height = kind
        with connect(context, "grpc") as client:
            if height == 90:
                with pytest.raises(InferenceError, match="picture 0 is not a JPEG or PNG"):
                    client.infer("colours", rows(b"nothing like it"))
            return int(client.infer("colours", rows(file(plain(colour, height), "JPEG")))["classes"][0, 0])

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, kinds)) == [colour for colour, _ in kinds]


BAD: dict[str, tuple[Callable[[], tuple[bytes, ...]], str]] = {
    "no picture": (lambda: (file(plain(0)), b"GIF89a"), "picture 1 is not a JPEG or PNG"),
    "nothing": (lambda: (b"",), "picture 0 is not a JPEG or PNG"),
    "cut off": (lambda: (file(plain(0, 400, 400), "JPEG")[:-900],), "picture 0 cannot be decoded"),
    "another format": (lambda: (file(plain(0), "WEBP"),), "picture 0 is not a JPEG or PNG"),
    "a bomb": (lambda: (file(np.zeros((8200, 8200), np.uint8)),), "67240000 pixels, and may have 67108864"),
}


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_classifier_takes_files_and_outlives_bad_ones(classifier: Context, tmp_path: Path) -> None:
    context = classifier
    assert load(context, "colours").probe.endswith("the 2 objects that the original finds")
    assert len(wanted_revision(context, "colours").models) == 3  # what decodes, model and front as one, the ensemble
    with connect(context, "grpc") as client:
        sent = rows(file(plain(2)), file(plain(0), "JPEG"), file(plain(1, 20, 30), "JPEG", turned=UPRIGHT))
        answer = client.infer("colours", sent)
        assert answer["classes"][:, 0].tolist() == [2, 0, 1] and set(answer) == {"classes", "scores"}
        assert np.allclose(answer["scores"][:, 0], 200 / 255, atol=0.02)
        several = client.infer("colours", rows(file(plain(1)), file(plain(2, 8, 8), "JPEG")))  # of any sizes
        assert several["classes"][:, 0].tolist() == [1, 2]
        deep = client.infer("colours", rows(file(np.full((8, 8), 200 << 8, np.uint16))))
        assert np.allclose(deep["scores"], 200 / 255, atol=0.02)  # grey of 16 bits
        for make, sentence in BAD.values():
            with pytest.raises(InferenceError, match=sentence):
                client.infer("colours", rows(*make()))
        assert client.infer("colours", sent)["classes"].tolist() == answer["classes"].tolist()
    _side_by_side(context)
    with connect(context, "grpc") as client:
        measured = measuring_inputs(context, context.catalogue.get("colours"), client, "colours", batch=2)
        assert set(client.infer("colours", measured.request(2))) == {"classes", "scores"}
    assert [found.rule for found in lint(context.workspace.repository)] == ["needs-pillow"]
    assert verify(context) == []

    (tmp_path / "turned.jpg").write_bytes(file(plain(1, 20, 40), "JPEG", turned=UPRIGHT))
    Image.fromarray(plain(2)).save(tmp_path / "other.webp", lossless=True)
    (found,) = infer_pictures(context, "colours", tmp_path / "turned.jpg")
    assert (found.width, found.height, found.objects[0]["class_id"]) == (20, 40, 1)
    (shown,) = seen(context, "colours", tmp_path / "turned.jpg").pictures
    assert (shown.width, shown.height) == (20, 40) and isinstance(shown.objects[0], Classification)
    with clients.use("colours", project="test", workspace=context.workspace.root) as model:
        told = model.predict_all([tmp_path / "turned.jpg", tmp_path / "other.webp", plain(0)])
    assert [one[0].class_id for one in told if isinstance(one[0], Classification)] == [1, 2, 0]

    change_live(context, "colours", {"serve": "image"})
    rollback(context, "colours")
    with connect(context) as client:
        assert client.infer("colours", rows(file(plain(1))))["classes"][0, 0] == 1


@pytest.mark.server
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("backend", "batch"), [("openvino", "batch"), ("onnxruntime", "batch"), ("onnxruntime", 1)])
def test_a_detector_and_a_model_of_one_picture(
    context: Context, tmp_path: Path, backend: str, batch: str | int
) -> None:
    """With the front apart and joined; where the batch is fixed and cannot be freed, one picture a request."""
    one = batch == 1
    (tmp_path / "it.onnx").write_bytes(colours(batch=1) if one else quadrants())
    import_package(context, tmp_path / "it.onnx")
    change(
        context,
        "it",
        {
            **(ENCODED if one else {"serve": "encoded", "threads": 1}),
            "backend": backend,
            "max_batch_size": 1 if one else 8,
        },
    )
    load(context, "it")
    red = np.zeros((64, 64, 3), np.uint8)
    red[:32, :32, 0] = 255
    with connect(context, "grpc") as client:
        if one:
            assert client.infer("it", rows(file(plain(1))))["classes"].ravel()[0] == 1
            return
        answer = client.infer("it", rows(file(red), file(0 * red)))
        assert answer["count"].ravel().tolist() == [1, 0]
        assert answer["boxes"][0, 0].tolist() == [0, 0, 32, 32]
        larger = client.infer("it", rows(file(red), file(red.repeat(2, axis=0).repeat(2, axis=1))))
        assert larger["boxes"][:, 0].tolist() == [[0, 0, 32, 32], [0, 0, 64, 64]]  # each in its own pixels


PLACED = [
    {"resize": "letterbox", "size": [40, 56], "fill": 114},
    {"resize": "letterbox", "size": [56, 40], "antialias": True, "colour": "BGR", "position": "top-left"},
    {"resize": "shortest-side", "shortest": 48, "size": [40, 40], "antialias": True},
    {"resize": "shortest-side", "shortest": 20, "size": [40, 40], "fill": 7, "enlarge": False},
    {"resize": "stretch", "size": [30, 30], "interpolation": "nearest"},
]
GROWING = {"resize": "shortest-side", "shortest": 500}  # without an end: a line becomes endless
WHOLE = {"resize": "stretch", "size": [40, 56], "interpolation": "bicubic", "antialias": True}


@pytest.mark.server
@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("said", [*PLACED, WHOLE], ids=lambda said: f"{said['resize']} {len(said)}")
def test_a_picture_lies_in_the_input_as_everywhere(context: Context, tmp_path: Path, said: dict[str, object]) -> None:
    """To a grey level, which rounding is; only what is resized elsewhere travels as it is."""
    height, width = said["size"]  # type: ignore[misc]
    (tmp_path / "it.onnx").write_bytes(showing(height, width))
    import_package(context, tmp_path / "it.onnx")
    change(context, "it", {"serve": "encoded", "preprocess": said, "decode": {"kind": "regression"}})
    load(context, "it")
    rendered = "\n".join(path.read_text() for path in context.workspace.repository.glob("pixels*/config.pbtxt"))
    assert ('key: "placed"' in rendered) == (said != WHOLE)
    spec = preprocess(said)
    with connect(context, "grpc") as client:
        for number, size in enumerate(((40, 56), (37, 91), (480, 333), (11, 200), (300, 20), (1, 1))):
            shown = [made_up(*size, seed=number + row) for row in range(2)]
            answer = client.infer("it", rows(*(file(one) for one in shown)))
            for row, picture in enumerate(shown):
                plainly, rounded = (
                    prepare(picture, spec, {"x": "FP32"}, whole_numbers=whole).inputs["x"].ravel()
                    for whole in (False, said != WHOLE)
                )
                assert (np.abs(answer["values"][row] - rounded) > 0.02).mean() < 0.06, size  # halves, up or down
                assert np.abs(answer["values"][row] - plainly).max() <= 1.01, size
        if said == WHOLE:
            with pytest.raises(InferenceError, match="of one size, not of 8 x 8, 20 x 30"):
                client.infer("it", rows(file(plain(0)), file(plain(0, 8, 8))))


@pytest.mark.long
@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_a_picture_that_would_become_too_large_is_refused(context: Context, tmp_path: Path) -> None:
    (tmp_path / "it.onnx").write_bytes(showing("height", "width"))
    import_package(context, tmp_path / "it.onnx")
    change(context, "it", {"serve": "encoded", "preprocess": GROWING, "decode": {"kind": "regression"}})
    load(context, "it")
    with connect(context, "grpc") as client:
        with pytest.raises(InferenceError, match="it becomes 50000 x 500 pixels, more than 16777216"):
            client.infer("it", rows(file(plain(0, 10, 1000))))
        assert client.infer("it", rows(file(plain(1, 5, 5))))["values"].shape == (1, 3 * 500 * 500)


def test_what_decodes_is_adopted_as_ours_and_nothing_like_it_is(classifier: Context, tmp_path: Path) -> None:
    """Its folder, taken out of a repository, needs no --allow-code, whatever else of the Python backend does."""
    context = classifier
    publish(context, "colours")
    (member,) = context.workspace.repository.glob("pixels.*")
    made = deployment(context.workspace.root, "kubernetes", ("colours",), cpu="1")
    assert made.files[-1].path == "triton.Dockerfile" and "--triton-image" in made.advice[0]
    assert "pip install pillow" in (member / "config.pbtxt").read_text()
    for path in (member, *member.rglob("*")):
        copied = tmp_path / "decoder" / path.relative_to(member)
        copied.mkdir(parents=True) if path.is_dir() else copied.write_bytes(path.read_bytes())
    config = tmp_path / "decoder" / "config.pbtxt"
    config.write_text(config.read_text().replace(member.name, "decoder"))
    import_package(context, tmp_path / "decoder")
    program = tmp_path / "decoder" / "1" / "model.py"
    for beside, content in {"1/model.py": program.read_bytes() + b"#", "1/more.bin": b"x"}.items():
        kept = program.read_bytes()
        (tmp_path / "decoder" / beside).write_bytes(content)
        with pytest.raises(UnsafeError, match="would run on the server"):
            import_package(context, tmp_path / "decoder")
        (tmp_path / "decoder" / beside).unlink()
        program.write_bytes(kept)
    other = (
        config.read_text()
        + 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/e" } }'
    )
    config.write_text(other)
    with pytest.raises(UnsafeError, match="is code"):
        import_package(context, tmp_path / "decoder")


@pytest.mark.parametrize("turned", [*range(1, 10), 65535])  # what a camera says, and what none should
def test_a_file_has_the_size_that_it_is_shown_in(tmp_path: Path, turned: int) -> None:
    for format in ("JPEG", "PNG"):
        path = tmp_path / f"one.{format}"
        path.write_bytes(file(plain(1, 6, 9), format, turned))
        sent = encoded(path)
        assert sent.data == path.read_bytes() and sent.shape == read_picture(path).shape


def deep() -> Array:
    """Grey of 16 bits, as industrial cameras write it: twice as high as wide, dark above."""
    return np.repeat(np.array([[0x1234], [0xC8FF]], np.uint16), 8, axis=0).repeat(8, axis=1)


def test_16_bits_of_grey_become_8(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(file(deep(), turned=UPRIGHT))
    pixels = read_picture(tmp_path / "grey.png")
    assert pixels.shape == (8, 16, 3)
    assert (pixels[:, 0] == 0xC8).all() and (pixels[:, -1] == 0x12).all()  # turned as the camera noted
    (tmp_path / "grey.tif").write_bytes(file(deep(), "TIFF"))
    assert np.unique(read_picture(tmp_path / "grey.tif")).tolist() == [0x12, 0xC8]


def test_32_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(deep().astype(np.float32)).save(tmp_path / "grey.tif")
    with pytest.raises(PackageError, match="pixels of 32 bits"):
        read_picture(tmp_path / "grey.tif")


def test_a_turn_that_is_no_number_is_none(tmp_path: Path) -> None:
    text = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHI4sI", 1, 0x0112, 2, 2, b"6", 0)
    Image.fromarray(plain(1, 6, 9)).save(tmp_path / "one.jpg", exif=text)
    assert encoded(tmp_path / "one.jpg").shape == read_picture(tmp_path / "one.jpg").shape == (6, 9, 3)

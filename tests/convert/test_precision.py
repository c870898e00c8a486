"""FP16 and INT8: real accuracy on a trained network, what is kept in floating point, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests.support import networks as models
from tests.support.converting import artefact, quiet
from tritonpm.convert import calibration, runtimes
from tritonpm.convert.conversion import Artefact, Conversion, ConversionError, Options, Unwatched
from tritonpm.convert.converters import converter
from tritonpm.convert.rewrite import make_batchable
from tritonpm.convert.scoring import score
from tritonpm.core.errors import NotFoundError, OptimisationError, PackageError
from tritonpm.core.tensors import save_npz
from tritonpm.core.types import Format, Signature, Task, Tensor
from tritonpm.operations.optimize.convert_file import convert
from tritonpm.package.signature import read_signature

CONVERTERS = ("openvino", "onnx-fp16", "openvino-int8", "onnx-int8")
INT8 = ("openvino-int8", "onnx-int8")


def made(name: str, source: Path, folder: Path, **options: object) -> Conversion:
    folder.mkdir(exist_ok=True)
    return converter(name)(artefact(source), Options(**options), None, folder, Unwatched())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, np.ndarray, np.ndarray]:
    """The digits network, calibration images from the training set, and the test set."""
    from examples.make_packages import digits, to_onnx, train_classifier

    folder, data = tmp_path_factory.mktemp("digits"), digits()
    path = folder / "model.onnx"
    path.write_bytes(to_onnx(train_classifier(data), "classify", "image", "scores", [10], 1.0))
    save_npz(folder / "calibration.npz", {"image": data.train[:100]})
    return path, str(folder / "calibration.npz"), data.test, data.test_digits


@pytest.mark.long
@pytest.mark.parametrize("name", CONVERTERS)
def test_a_trained_network_keeps_its_accuracy(
    name: str, trained: tuple[Path, str, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    path, told, images, numbers = trained
    conversion = made(name, path, tmp_path / "out", precision="FP16", samples=(told,), task=Task.IMAGE_CLASSIFICATION)
    run = runtimes.load(conversion.artefact.format, conversion.artefact.model)
    right = float((run({"image": images})["scores"].argmax(axis=1) == numbers).mean())
    before = float((runtimes.load(Format.ONNX, path)({"image": images})["scores"].argmax(axis=1) == numbers).mean())
    assert right >= before - 0.01
    assert conversion.artefact.signature == read_signature(path)[1]
    if name in INT8:
        assert conversion.record.details["samples"] == 100
        assert conversion.record.details["left_in_floating_point"] == []


@pytest.mark.parametrize(
    "light",
    [
        "shufflenet",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("resnet50", "densenet121", "inception_v1")),
    ],
)
def test_light_networks_in_fp16_answer_the_recorded_way(light: str, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes((models.LIGHT / f"light_{light}.onnx").read_bytes())
    conversion = made("onnx-fp16", source, tmp_path / "out")
    inputs = conversion.artefact.signature.inputs[0]
    shape = tuple(int(size) for size in inputs.shape or ())
    ramp = (np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32)
    before = runtimes.load(Format.ONNX, source)({inputs.name: ramp})
    after = runtimes.load(Format.ONNX, conversion.artefact.model)({inputs.name: ramp})
    for name, want in before.items():
        assert after[name].dtype == np.float32
        assert np.allclose(after[name], want, rtol=0.05, atol=1e-3)


def test_fp16_that_overflows_is_caught_by_the_proof(tmp_path: Path) -> None:
    """The light SqueezeNet's sums are beyond FP16."""
    with pytest.raises(OptimisationError, match=r"NaN or infinity.*the first tensor that diverges is"):
        convert(models.LIGHT / "light_squeezenet.onnx", "onnx", tmp_path / "out", progress=quiet, precision="FP16")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_resnet_in_int8_runs_at_every_batch(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes((models.LIGHT / "light_resnet50.onnx").read_bytes())
    source = make_batchable(Format.ONNX, source)
    images = np.random.default_rng(0).random((2, 3, 224, 224), dtype=np.float32)
    save_npz(tmp_path / "s.npz", {"gpu_0/data_0": images})
    for name in INT8:
        conversion = made(name, source, tmp_path / name, samples=(str(tmp_path / "s.npz"),))
        run = runtimes.load(conversion.artefact.format, conversion.artefact.model)
        assert run({"gpu_0/data_0": images})["gpu_0/softmax_1"].shape == (2, 1000)


def test_a_weight_beyond_fp16_keeps_its_node_in_fp32(tmp_path: Path) -> None:
    source = models.dense(tmp_path / "m.onnx", scale={1: 1e6})
    conversion = made("onnx-fp16", source, tmp_path / "out")
    assert conversion.record.details["kept_fp32"]["nodes"] == ["layer1"]  # type: ignore[index]
    x = {"x": np.full((2, 16), 1e-4, np.float32)}
    want = runtimes.load(Format.ONNX, source)(x)["y"]
    assert np.allclose(runtimes.load(Format.ONNX, conversion.artefact.model)(x)["y"], want, rtol=1e-2)


def test_external_weights_and_branches_are_converted(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((16, 16), np.float32), "w")
    inner = [helper.make_node("MatMul", ["x", "w"], ["inner"], "product")]
    out = helper.make_tensor_value_info("inner", 1, None)
    branch = helper.make_graph(inner, "branch", [], [out])
    zero = numpy_helper.from_array(np.array(True), "true")
    nodes = [helper.make_node("If", ["true"], ["y"], "if", then_branch=branch, else_branch=branch)]
    (tmp_path / "in").mkdir()
    source = models.save(
        tmp_path / "in/m.onnx",
        nodes,
        [weight, zero],
        16,
        save_as_external_data=True,
        location="w.data",
        size_threshold=0,
    )
    conversion = made("onnx-fp16", source, tmp_path / "out")
    assert np.allclose(
        runtimes.load(Format.ONNX, conversion.artefact.model)({"x": np.ones((1, 16), np.float32)})["y"], 16
    )


@pytest.mark.parametrize("name", [pytest.param("openvino-int8", marks=pytest.mark.long), "onnx-int8"])
def test_max_drop_leaves_what_is_sensitive_in_floating_point(name: str, tmp_path: Path) -> None:
    """The second layer has one input a thousand times the others: eight bits lose all the others."""
    random = np.random.default_rng(0)
    source = models.dense(tmp_path / "m.onnx", layers=3)
    x = random.normal(0, 1, (16, 16)).astype(np.float32)
    x[:, 0] *= 1000
    save_npz(tmp_path / "s.npz", {"x": x})
    model = onnx.load(source)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0] = 0  # the large input goes nowhere
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w0"))
    onnx.save(model, source)
    told = {"samples": (str(tmp_path / "s.npz"),)}
    plain = made(name, source, tmp_path / "plain", **told)
    assert float(plain.record.details["drop"]) > 0.05  # type: ignore[arg-type]
    careful = made(name, source, tmp_path / "careful", max_drop=0.01, **told)
    assert float(careful.record.details["drop"]) <= 0.01  # type: ignore[arg-type]
    assert any("0" in layer or "h0" in layer for layer in careful.record.details["left_in_floating_point"])  # type: ignore[union-attr]


@pytest.mark.parametrize("name", INT8)
def test_int8_without_samples_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="calibrated on samples, and there are none; give --calibration"):
        made(name, models.dense(tmp_path / "m.onnx"), tmp_path / "out")


def test_a_sample_that_does_not_fit_is_named(tmp_path: Path) -> None:
    source = artefact(models.dense(tmp_path / "m.onnx"))
    for arrays, words in (
        ({"z": np.zeros((1, 16), np.float32)}, "has no array 'x'"),
        ({"x": np.zeros((1, 16))}, "is float64, but the model takes FP32"),
        ({"x": np.zeros((1, 15), np.float32)}, r"shape \[1, 15\], but the model takes"),
        ({"x": np.zeros(16, np.float32)}, r"shape \[16\], but"),
    ):
        save_npz(tmp_path / "bad.npz", arrays)
        with pytest.raises(ConversionError, match=f"bad.npz: .*{words}"):
            calibration.rows(source, Options(samples=(str(tmp_path / "bad.npz"),)))


def test_an_image_becomes_the_input_that_the_model_takes(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (20, 10), (255, 0, 7)).save(tmp_path / "red.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    red = Options(samples=(str(tmp_path / "red.png"),))
    for shape, want in (((1, 3, 4, 6), (1, 3, 4, 6)), (("n", 4, 6, 3), (1, 4, 6, 3)), (("n", 1, 4, 6), (1, 1, 4, 6))):
        x = Tensor("x", "FP32", shape)
        rows = calibration.rows(Artefact(Format.ONNX, tmp_path, Signature((x,), ())), red)
        assert rows[0]["x"].shape == want
        assert rows[0]["x"].max() == pytest.approx(255 if 3 in want else 77, abs=0.1)
    with pytest.raises(PackageError, match=r"broken.jpg: is not a picture that can be read"):
        broken = Options(samples=(str(tmp_path / "broken.jpg"),))
        calibration.rows(Artefact(Format.ONNX, tmp_path, Signature((x,), ())), broken)
    flat = Signature((Tensor("x", "FP32", ("n", 16)),), ())
    with pytest.raises(ConversionError, match="does not take a single image"):
        calibration.rows(Artefact(Format.ONNX, tmp_path, flat), red)


@pytest.mark.long
def test_images_calibrate_and_prove_a_conversion(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (30, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{number}.png")
    source = models.LIGHT / "light_shufflenet.onnx"
    view = convert(
        source, "openvino", tmp_path / "out", progress=quiet, precision="INT8", calibration=tmp_path / "images"
    )
    assert view.agreement.state == "unverified"  # all weights of the light networks are alike, and so are the answers
    assert "nobody would notice" in view.agreement.reason and "samples" in view.agreement.reason
    assert view.agreement.inputs.startswith("3 samples")
    assert view.steps[0].details["samples"] == 3


def test_scores_of_odd_answers() -> None:
    one = {"y": np.array([1.0, np.inf], np.float32), "n": np.array([1, 2]), "e": np.zeros((0, 4), np.float32)}
    assert score(Task.OTHER, one, one) == 1.0
    assert score(Task.OTHER, one, {**one, "n": np.array([1])}) == 0.0
    assert score(Task.OTHER, one, {**one, "y": np.array([np.nan, np.inf], np.float32)}) == 0.0


def test_a_folder_is_gathered_and_an_empty_one_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.npz", "a.png", "deep/c.NPZ", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in calibration.gather(tmp_path)] == ["a.png", "b.npz", "c.NPZ"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConversionError, match=r"holds no \.npz file and no image"):
        calibration.gather(tmp_path / "empty")
    with pytest.raises(NotFoundError, match="does not exist"):
        calibration.gather(tmp_path / "nowhere")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_every_row_of_every_sample_is_one_row(tmp_path_factory: pytest.TempPathFactory, counts: list[int]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    x, total = Tensor("x", "FP32", ("batch", 2)), sum(counts)
    values = np.arange(total * 2, dtype=np.float32).reshape(total, 2)
    for number, (start, count) in enumerate(zip(np.cumsum([0, *counts[:-1]]), counts, strict=True)):
        save_npz(folder / f"{number}.npz", {"x": values[start : start + count]})
    paths = tuple(str(folder / f"{number}.npz") for number in range(len(counts)))
    rows = calibration.rows(Artefact(Format.ONNX, folder, Signature((x,), ())), Options(samples=paths))
    assert [row["x"].shape for row in rows] == [(1, 2)] * total
    assert np.array_equal(np.concatenate([row["x"] for row in rows]), values)

"""Objects that one stage finds are cut out for the next, on the real server, as plain NumPy does it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import tritonpm.client
from tests.support.cropped import MANIFEST, SIDE, crop, package
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import PackageError, RenderError, RuleError
from tritonpm.core.tensors import Array
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.objects import Classification, Detection, plain
from tritonpm.meaning.preprocess import prepare
from tritonpm.meaning.stages import of_stage
from tritonpm.operations.context import Context
from tritonpm.operations.export import export
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer_pictures
from tritonpm.operations.init import init
from tritonpm.operations.inspect import inspect
from tritonpm.operations.lint import lint
from tritonpm.operations.load import load
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.predictor import predictor_of
from tritonpm.operations.seen import seen
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root, _ = init(tmp_path_factory.mktemp("cropping") / "workspace")
    context = opened(root)
    serve(context, None, **QUICKLY)
    import_package(context, package(root.parent / "in"))
    load(context, "quarters")
    yield context
    stop(context, 15)


def picture(quarters: dict[int, tuple[int, int, int]], seed: int = 0) -> Array:
    """32 x 32 pixels, dark but for quarters of a colour."""
    pixels = np.random.default_rng(seed).integers(0, 40, (32, 32, 3)).astype(np.uint8)
    for place, colour in quarters.items():
        top, left = divmod(place, 2)
        pixels[top * 16 : top * 16 + 16, left * 16 : left * 16 + 16] += np.array(colour, np.uint8)
    return pixels


def plainly(pixels: Array) -> list[tuple[list[float], str, list[float]]]:
    """(box, class, mean red, green and blue as `look` scales them) of each object, best first, at most three."""
    images = pixels.transpose(2, 0, 1) / 255.0
    found = []
    for place in range(4):
        top, left = divmod(place, 2)
        part = images[:2, top * 16 : top * 16 + 16, left * 16 : left * 16 + 16].mean(axis=(1, 2))
        box = [left * 16, top * 16, left * 16 + 16, top * 16 + 16]
        if part.max() >= 0.25:
            cut = crop(images * 255, np.array(box, float), 0.25, (SIDE, SIDE)).mean(axis=(1, 2))
            found.append((float(part.max()), box, ("red", "green")[part.argmax()], cut))
    found.sort(key=lambda one: -one[0])
    scaled = ((cut - np.array([3, 2, 1])) / np.array([6, 5, 4]) for *_, cut in found)
    return [(box, name, list(values)) for (_, box, name, _), values in zip(found[:3], scaled, strict=False)]


NONE, ONE = picture({}), picture({2: (200, 0, 0)})
FOUR = picture({0: (200, 0, 0), 1: (0, 190, 0), 2: (180, 0, 0), 3: (0, 170, 100)})


@pytest.mark.parametrize(
    ("pixels", "count"), [(NONE, 0), (ONE, 1), (FOUR, 3)], ids=["none", "one", "more than it takes"]
)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_answers_are_put_back_to_their_boxes(served: Context, pixels: Array, count: int, protocol: str) -> None:
    with connect(served, protocol) as client:
        (objects,) = predictor_of(served, "quarters", client)([pixels])
    wanted = plainly(pixels)
    assert len(objects) == len(wanted) == count
    for one, (box, name, colours) in zip(objects, wanted, strict=True):
        assert isinstance(one, Detection) and one.name == name
        assert [one.box.left, one.box.top, one.box.right, one.box.bottom] == pytest.approx(box)
        got = {answer.name: answer.score for answer in one.answers if isinstance(answer, Classification)}
        assert [got[colour] for colour in ("red", "green", "blue")] == pytest.approx(colours, rel=1e-4, abs=1e-4)


def test_pictures_side_by_side_keep_their_own_answers(served: Context) -> None:
    colours = [(120 + 10 * index, 0, 9 * index) for index in range(9)]
    pictures = [picture(dict.fromkeys(range(n % 4), colours[n]), seed=n) for n in range(9)] * 3
    with connect(served, "grpc") as client, ThreadPoolExecutor(6) as pool:
        predictor = predictor_of(served, "quarters", client)
        answers = list(pool.map(lambda one: predictor([one])[0], pictures))
    for pixels, objects in zip(pictures, answers, strict=True):
        got = [[next(a.score for a in one.answers if a.name == "red"), one.box.left] for one in objects]  # type: ignore[union-attr]
        wanted = [[values[0], box[0]] for box, _, values in plainly(pixels)]
        assert np.array(sorted(got)) == pytest.approx(np.array(sorted(wanted)), rel=1e-4)


@pytest.mark.parametrize("serve_as", ["image", "encoded"])
def test_crops_are_of_the_picture_where_that_is_handed_in(served: Context, tmp_path: Path, serve_as: str) -> None:
    """Boxes are in its pixels, and so is what is cut out: of each size, of one object, of none and of many."""
    source = package(tmp_path / "in", MANIFEST.replace("name: quarters", f"name: {serve_as}"))
    import_package(served, source, again=True)
    change(served, serve_as, {"serve": serve_as})
    assert load(served, serve_as).probe.endswith("that the original finds")
    record = served.catalogue.get(serve_as)
    first, detect = meaning_of(record.package, record.settings).preprocess, of_stage(record.package.stages[0])
    detector = onnxruntime.InferenceSession(source / "find.onnx")
    assert first and detect.decode
    with connect(served, "grpc") as client:
        predict = predictor_of(served, serve_as, client)
        for pixels in (NONE, ONE, FOUR):
            for large in (pixels, np.kron(pixels, np.ones((9, 4, 1), np.uint8)), pixels[:, :20].repeat(5, axis=1)):
                pictured = prepare(large, first, {"images": "FP32"})
                answer = {"output0": detector.run(None, dict(pictured.inputs))[0]}
                (wanted,) = decoded(answer, detect.decode, detect.labels, [pictured.geometry])
                if serve_as == "encoded":
                    Image.fromarray(large).save(tmp_path / "large.png")
                (got,) = predict([tmp_path / "large.png" if serve_as == "encoded" else large])
                assert len(got) == min(3, len(wanted))
                for one, other in zip(got, wanted, strict=False):
                    require_cut_out_of(large, one, other)
    Image.fromarray(ONE).save(tmp_path / "one.png")
    (view,) = infer_pictures(served, serve_as, tmp_path / "one.png")
    [shown] = seen(served, serve_as, tmp_path / "one.png").pictures
    assert (view.verdict, len(view.objects)) == ("OK", 1) and tuple(map(plain, shown.objects)) == view.objects


def require_cut_out_of(large: Array, got: object, wanted: object) -> None:
    """The object is where it shall be, and what is said of it is what its part of the picture is like."""
    assert isinstance(got, Detection) and isinstance(wanted, Detection)
    assert (got.name, got.score) == (wanted.name, pytest.approx(wanted.score, abs=1e-4))
    box = np.array([*vars(wanted.box).values()])
    assert [*vars(got.box).values()] == pytest.approx(box, abs=0.02)
    means = crop(large.transpose(2, 0, 1).astype(float), box, 0.25, (SIDE, SIDE)).mean(axis=(1, 2))
    said = {each.name: each.score for each in got.answers if isinstance(each, Classification)}
    scaled = (means - np.array([3, 2, 1])) / np.array([6, 5, 4])
    assert [said[name] for name in ("red", "green", "blue")] == pytest.approx(scaled, abs=0.02)


def test_what_a_front_has_no_place_for_is_refused(served: Context, tmp_path: Path) -> None:
    import_package(served, package(tmp_path / "in", MANIFEST.replace("name: quarters", "name: raw")), again=True)
    with pytest.raises(RenderError, match="has no raw outputs beside it"):
        change(served, "raw", {"serve": "image", "raw_outputs": True})


def test_the_terminal_tells_of_both_stages(served: Context, tmp_path: Path) -> None:
    Image.fromarray(ONE).save(tmp_path / "one.png")
    (view,) = infer_pictures(served, "quarters", tmp_path / "one.png", draw=tmp_path / "drawn.png")
    (one,) = view.objects
    assert (view.verdict, view.failed) == ("OK", ())
    answer = seen(served, "quarters", tmp_path / "one.png")  # and so does the page
    assert (answer.unknown, answer.reason) == ((), "")
    [shown] = answer.pictures
    assert shown.verdict and shown.verdict.word == "OK"
    assert tuple(map(plain, shown.objects)) == view.objects
    assert (one["name"], one["box"], len(one["answers"])) == ("red", [0, 16, 16, 32], 3)
    assert Image.open(tmp_path / "drawn.png").size == (32, 32)
    stages = {stage.name: stage for stage in show(served, "quarters").stages_in_detail}
    said = {field.name: (field.value, field.said_by) for field in stages["cut"].meaning}
    assert (said["decode.kind"], said["crop.margin"]) == (("boxes", "tritonpm"), (0.25, "package"))


def test_the_client_says_ok_or_which_condition_does_not_hold(served: Context) -> None:
    with tritonpm.client.use("quarters", project="p", workspace=served.workspace.root) as model:
        assert model.judge(ONE).ok
        assert model.judge(NONE).failed == ("something is there",)
        assert model.judge(FOUR).failed == ("no green",)
        assert model.judge(picture({2: (200, 0, 210)})).failed == ("no blue on large ones",)


@pytest.mark.parametrize(
    ("was", "now", "sentence"),
    [
        ("what: [green]", "what: [grene]", "no stage has a class 'grene', but blue, green, red"),
        ("at_least: 1", "at_least: 2, at_most: 1", "at_most no less than it"),
        ("{at_least: 1}", "{}", "needs at_least or at_most"),
        ("crop: {margin: 0.25, most: 3}", "crop: {margin: 0.25, of: look}", "crop.of: must name an earlier stage"),
        ("crop: {margin: 0.25, most: 3}", "crop: {margin: 9}", "margin is 0 to 4"),
        (
            "preprocess: {size: [6, 6], colour: BGR, mean: [1, 2, 3], std: [4, 5, 6]}",
            "preprocess: {}",
            "stage look does not declare its",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, was: str, now: str, sentence: str) -> None:
    assert was in MANIFEST
    with pytest.raises(PackageError, match=sentence):
        inspect(package(tmp_path / "in", MANIFEST.replace(was, now)))


def test_a_stage_takes_no_more_rows_at_once_than_it_may(served: Context, tmp_path: Path) -> None:
    source = package(tmp_path / "in", MANIFEST.replace("most: 3", "most: 12").replace("name: quarters", "name: many"))
    import_package(served, source)
    assert served.catalogue.get("many").settings.for_stage("look").max_batch_size == 12
    with pytest.raises(RuleError, match="takes 4 rows at once, and is given up to 12 crops"):
        change(served, "many", {"max_batch_size": 4}, stage="look")


def test_an_export_is_the_same_package(served: Context, tmp_path: Path) -> None:
    export(served, "quarters", tmp_path / "out.zip")
    assert inspect(tmp_path / "out.zip").digest == served.catalogue.get("quarters").package.digest


def test_a_model_that_is_not_ours_is_no_crop(tmp_path: Path) -> None:
    folder = package(tmp_path / "in", MANIFEST.replace("crop: {", "model: look.onnx, crop: {"))
    with pytest.raises(PackageError, match="has other tensors than its `crop` asks for"):
        inspect(folder)


def test_lint_has_nothing_to_say_of_it(served: Context) -> None:
    assert [one for one in lint(served.workspace.repository) if one.level == "error"] == []

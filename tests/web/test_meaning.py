"""What answers mean, how configs are coloured, and what is drawn of cascades that do not only go straight on."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.core.types import Format, Package, Signature, Stage, Task, Tensor
from tritonpm.web.answers import meaning
from tritonpm.web.configs import pieces
from tritonpm.web.pictures import picture
from tritonpm.web.quarantine import safe_name

LABELS = ("bolt", "nut", "washer")


def test_scores_are_classes_with_labels() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], np.float32)
    meant = meaning({"s": scores}, Task.IMAGE_CLASSIFICATION, LABELS)
    assert [(c.row, c.label) for c in meant.classes[:3]] == [(0, "nut"), (0, "washer"), (0, "bolt")]
    assert meant.classes[3].label == "bolt"
    assert meant.boxes == meant.masks == ()


def test_boxes_in_pixels_are_shares_of_the_image() -> None:
    answer = {
        "boxes": np.array([[[10, 20, 50, 100], [0, 0, 1, 1]]], np.float32),
        "scores": np.array([[[0.1, 0.9, 0.0], [0.1, 0.1, 0.0]]], np.float32),
    }
    meant = meaning(answer, Task.OBJECT_DETECTION, LABELS, width=100, height=200)
    assert [(b.row, b.label, b.corners) for b in meant.boxes] == [(0, "nut", (0.1, 0.1, 0.5, 0.5))]
    assert meant.boxes[0].score == pytest.approx(0.9)


def test_a_mask_is_one_byte_a_pixel() -> None:
    probability = np.zeros((1, 1, 2, 3), np.float32)
    probability[0, 0, 1, 2] = 0.9
    mask = meaning({"m": probability}, Task.DEFECT_SEGMENTATION, ("scratch",)).masks[0]
    assert (mask.width, mask.height, mask.labels) == (3, 2, ("scratch",))
    assert base64.b64decode(mask.pixels) == bytes([0, 0, 0, 0, 0, 1])
    classes = np.zeros((1, 3, 2, 2), np.float32)
    classes[0, 2, 0, 0] = classes[0, 0, 0, 1] = classes[0, 1, 1, :] = 1.0
    mask = meaning({"m": classes}, Task.SEMANTIC_SEGMENTATION, LABELS).masks[0]
    assert (base64.b64decode(mask.pixels), mask.labels) == (bytes([2, 0, 1, 1]), ("nut", "washer"))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.zeros((), np.float32),
        np.array([b"text", b"\xff"], dtype=object),
        np.full((2, 3), np.nan, np.float32),
        np.zeros((1, 0, 5), np.float32),
        np.zeros((1, 0, 4), np.float32),
    ],
)
@pytest.mark.parametrize("task", list(Task))
def test_any_answer_is_told(array: np.ndarray, task: Task) -> None:  # type: ignore[type-arg]
    meant = meaning({"y": array, "z": array}, task, LABELS, 4, 4)
    assert meant.outputs[0].shape == array.shape


@given(st.text())
def test_a_config_in_pieces_is_the_config(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text


def test_a_config_is_coloured() -> None:
    kinds = {piece.text: piece.kind for piece in pieces('name: "a" # b\nkind: KIND_CPU\ndims: [ -1, 3 ]\ninput {')}
    assert kinds["name"] == kinds["input"] == "key"
    assert (kinds['"a"'], kinds["# b"], kinds["KIND_CPU"], kinds["-1"]) == ("text", "comment", "constant", "number")


def stage(name: str, inputs: str, outputs: str, bindings: tuple[tuple[str, str], ...] = ()) -> Stage:
    def tensors(names: str) -> tuple[Tensor, ...]:
        return tuple(Tensor(tensor, "FP32", ("batch", 4)) for tensor in names.split())

    return Stage(
        name,
        Task.OTHER,
        Format.ONNX,
        f"{name}.onnx",
        (),
        Signature(tensors(inputs), tensors(outputs)),
        bindings=bindings,
    )


def test_a_tensor_that_passes_a_stage_has_a_lane_of_its_own() -> None:
    stages = (
        stage("a", "x", "one two"), stage("b", "one", "three"), stage("c", "three two x", "y"),
    )  # fmt: skip
    drawn = picture(Package("p", "1", "", "", stages, (), "sha256:0"), str)
    assert [block.title for block in drawn.blocks] == ["Inputs", "a", "b", "c", "Outputs"]
    assert len(drawn.arrows) == 6
    assert [line.whole for line in drawn.lines].count("x  FP32 [batch, 4]") == 2
    assert all(block.y + block.height <= drawn.height for block in drawn.blocks)
    assert len({arrow.path.split(" H")[1] for arrow in drawn.arrows if " H" in arrow.path}) > 1
    cut = replace(stages[1], crop={})
    assert [b.about for b in picture(Package("p", "1", "", "", (stages[0], cut, stages[2]), (), ""), str).blocks][
        2
    ] == ("cuts out what is found")
    long = picture(Package("p", "1", "", "", (stage("a", "x" * 90, "y"),), (), "sha256:0"), str)
    assert long.lines[0].text.endswith("…")
    assert "x" * 90 in long.lines[0].whole


@given(st.text(st.characters(exclude_characters="/\\"), max_size=60))
def test_a_name_on_the_disk_is_plain(name: str) -> None:
    made = safe_name(f"a{name}.zip")
    assert Path(made).name == made
    assert made.isascii()
    assert made.endswith(".zip")

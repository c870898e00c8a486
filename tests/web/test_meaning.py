"""What answers mean, how configs are coloured, and what is drawn of cascades that do not only go straight on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tritonpm.core.errors import PackageError
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format, Package, Signature, Stage, Task, Tensor
from tritonpm.meaning.decode import DECODERS
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.objects import Box, Classification, Detection, Segmentation
from tritonpm.meaning.spec import ROLES, decode
from tritonpm.meaning.stages import Meaning
from tritonpm.meaning.verdict import Judgement
from tritonpm.operations.seen import Seen, SeenPicture, objects_in
from tritonpm.settings.settings import Settings
from tritonpm.web.answers import AnswerView, told
from tritonpm.web.configs import pieces
from tritonpm.web.pictures import picture
from tritonpm.web.quarantine import safe_name

LABELS = ("bolt", "nut", "washer")


def test_objects_are_told_with_what_to_draw() -> None:
    mask = np.zeros((10, 20), bool)
    mask[4, 3:5] = True
    box = Box(2.0, 3.0, 6.0, 7.0)
    turned = Detection(box, 0.75, 1, "nut", mask, angle=np.pi / 2, answers=(Classification(0, "scratch", 0.5),))
    picture = SeenPicture(20, 10, (turned, Segmentation(mask.astype(int), ("belt", "nut"))), Judgement(False, ("all",)))
    view = told(Seen({"y": np.zeros((1, 3), np.float32)}, (picture,), threshold=0.25))
    [shown] = view.pictures
    assert (shown.width, shown.height, shown.verdict, shown.failed) == (20, 10, "NG", ("all",))
    one, whole = shown.objects
    assert (one.kind, one.label, one.score, one.box) == ("detection", "nut", 0.75, (2.0, 3.0, 6.0, 7.0))
    assert np.allclose(one.outline, [(6, 3), (6, 7), (2, 7), (2, 3)])
    assert [(area.label, area.runs) for area in one.areas] == [("nut", (83, 2, 115))]
    assert [(answer.kind, answer.label) for answer in one.answers] == [("classification", "scratch")]
    assert [(area.label, area.share, area.runs) for area in whole.areas] == [("nut", 0.01, (83, 2, 115))]
    assert (view.outputs[0].shape, view.threshold) == ((1, 3), 0.25)


ODD = (
    np.zeros((0, 3), np.float32),
    np.zeros((), np.float32),
    np.array([b"text", b"\xff"], dtype=object),
    np.full((2, 3), np.nan, np.float32),
    np.full((1, 6, 4), np.nan, np.float32),
    np.full((1, 6, 4), np.inf, np.float32),
    np.full((1, 300, 7), -np.inf, np.float64),
    np.full((1, 7), np.inf, np.float32),
    np.full((1, 1, 4, 4), np.nan, np.float32),
    np.full((1, 4, 4), 1 << 40, np.int64),
    np.zeros((1, 0, 5), np.float32),
    np.zeros((1, 0, 4), np.float32),
)


@pytest.mark.parametrize("array", ODD, ids=lambda array: f"{array.dtype}{list(array.shape)}")
@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("known", [True, False])
def test_any_answer_is_told(array: Array, kind: str, known: bool) -> None:
    roles = [role.rstrip("?") for role in ROLES[kind]]
    meaning = Meaning(decode=decode({"kind": kind, "outputs": {role: role for role in roles}}), labels=LABELS)
    answer = dict.fromkeys(roles, array)
    objects, reason = objects_in(answer, meaning, (identity(4, 4),) * max(1, len(array.shape[:1])) if known else None)
    assert objects or reason or not array.size
    pictures = tuple(SeenPicture(4, 4, one) for one in objects)
    view = told(Seen(answer, pictures, reason=reason, threshold=meaning.decode and meaning.decode.score))
    assert TypeAdapter(AnswerView).dump_json(view)
    assert view.outputs[0].shape == array.shape


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
    settings = Settings()
    drawn = picture(Package("p", "1", "", "", stages, (), "sha256:0"), str, settings)
    assert [block.title for block in drawn.blocks] == ["Inputs", "a", "b", "c", "Outputs"]
    assert len(drawn.arrows) == 6
    assert [line.whole for line in drawn.lines].count("x  FP32 [batch, 4]") == 2
    assert all(block.y + block.height <= drawn.height for block in drawn.blocks)
    assert len({arrow.path.split(" H")[1] for arrow in drawn.arrows if " H" in arrow.path}) > 1
    cut = replace(stages[1], crop={})
    assert [
        b.about for b in picture(Package("p", "1", "", "", (stages[0], cut, stages[2]), (), ""), str, settings).blocks
    ][2] == ("cuts out what is found")
    long = picture(Package("p", "1", "", "", (stage("a", "x" * 90, "y"),), (), "sha256:0"), str, settings)
    assert long.lines[0].text.endswith("…")
    assert "x" * 90 in long.lines[0].whole


@given(st.text(st.characters(exclude_characters="/\\"), max_size=60))
def test_a_name_on_the_disk_is_plain(name: str) -> None:
    made = safe_name(f"a{name}.zip")
    assert Path(made).name == made
    assert made.isascii()
    assert made.endswith(".zip")


def test_a_file_with_a_chinese_name_comes_in() -> None:
    assert safe_name("螺丝检测.onnx") == "model.onnx"
    with pytest.raises(PackageError, match="cannot be taken"):
        safe_name("螺丝检测.exe")

"""Lint: lines and sentences, hostile folders, and a sample of its agreement with the real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.lint import cases
from tritonpm.core.errors import NotFoundError
from tritonpm.package import read_signature
from tritonpm.repository.lint import lint, lint_model, loadable


def found(root: Path) -> dict[str, tuple[str, int, str]]:
    """The first finding of each rule."""
    findings = lint(root, lambda path, _: (read_signature(path)[1], False))
    return {f.rule: (f.level, f.line, f.sentence) for f in reversed(findings)}


@pytest.mark.parametrize("name", cases.GOOD)
def test_good_configs_have_no_error(tmp_path: Path, name: str) -> None:
    cases.model(tmp_path, cases.GOOD[name])
    if name == "wildcard-dims":  # our backends hold the config against the file
        assert found(tmp_path)["model-tensors"][0] == "error"
    else:
        assert not [f for f in lint(tmp_path, lambda path, _: (read_signature(path)[1], False)) if f.level == "error"]


@pytest.mark.parametrize(
    ("name", "rule", "line", "words"),
    [
        ("unknown-field", "config-parse", 7, "max_batchsize"),
        ("unclosed", "config-parse", 7, "parse"),
        ("other-name", "name", 1, "'other'"),
        ("negative-batch", "batcher", 3, "negative"),
        ("preferred-above", "batcher", 7, "16"),
        ("dims-zero", "tensors", 4, "dimension 0"),
        ("dtype-differs", "model-tensors", 4, "TYPE_INT32"),
        ("output-unknown", "model-tensors", 5, "'z'"),
        ("reshape-differs", "tensors", 4, "number of elements"),
        ("group-gpus-on-cpu", "instance-group", 6, "KIND_CPU"),
        ("policy-specific-missing", "versions", 7, "7"),
        ("label-missing", "labels", 5, "labels.txt"),
        ("default-file-missing", "model-file", 7, "other.onnx"),
        ("no-backend", "backend", 2, "nothing-like-that"),
        ("warmup-unknown-input", "warm-up", 7, "'x'"),
    ],
)
def test_errors_name_their_line(tmp_path: Path, name: str, rule: str, line: int, words: str) -> None:
    cases.model(tmp_path, cases.BROKEN[name])
    level, where, sentence = found(tmp_path)[rule]
    assert (level, where) == ("error", line)
    assert words in sentence


@pytest.mark.parametrize(
    ("name", "rule", "words"),
    [
        ("missing-member", "ensemble-member", "'m3'"),
        ("unknown-input", "ensemble-map", "'z'"),
        ("dangling", "ensemble-dangling", "'nowhere'"),
        ("written-twice", "ensemble-writer", "twice"),
        ("dtype-in", "ensemble-dtype", "'in'"),
        ("dims-in", "ensemble-dims", "[-1, 5]"),
        ("batch-above", "ensemble-batch", "16"),
        ("version-missing", "ensemble-version", "7"),
    ],
)
def test_ensembles_are_wired(tmp_path: Path, name: str, rule: str, words: str) -> None:
    cases.ensemble(tmp_path, cases.ENSEMBLES[name])
    level, _, sentence = found(tmp_path)[rule]
    assert level == "error"
    assert words in sentence


def test_a_cycle_elsewhere_that_an_ensemble_reaches_is_an_error(tmp_path: Path) -> None:
    """A raw tritonserver 2.51 dies of it (SIGSEGV)."""
    circle = next(case for case in cases.catalogue() if case.id == "members-circle")
    circle.build(tmp_path)
    (tmp_path / "top/1").mkdir(parents=True)
    top = cases.ENSEMBLE.replace('name: "e"', 'name: "top"').replace('model_name: "m2"', 'model_name: "e"')
    (tmp_path / "top/config.pbtxt").write_text(top)
    assert any(f.rule == "ensemble-cycle" for f in lint_model(tmp_path / "top"))


def test_a_step_cannot_leave_the_repository(tmp_path: Path) -> None:
    cases.ensemble(tmp_path, cases.ENSEMBLE.replace('model_name: "m2"', 'model_name: "../m2"'))
    assert "leads out" in found(tmp_path)["ensemble-member"][2]


def test_pipes_links_and_huge_versions_are_errors_and_never_hang(tmp_path: Path) -> None:
    cases.fifo(tmp_path)
    cases.model(tmp_path, name="huge", config=None, versions=(str(2**63),))
    cases.model(tmp_path, name="linked", config=None)
    (tmp_path / "linked/loop").symlink_to("loop")
    (tmp_path / "linked/root").symlink_to("/")
    (tmp_path / "self").symlink_to("self")
    rules = {f.rule for f in lint(tmp_path) if f.level == "error"}
    assert {"special-file", "version-range", "link"} <= rules


def test_a_huge_config_is_refused_unread(tmp_path: Path) -> None:
    cases.model(tmp_path, None)
    with (tmp_path / "m/config.pbtxt").open("wb") as file:
        file.truncate(100 << 20)
    assert found(tmp_path)["config-size"][0] == "error"


def test_as_many_instances_as_take_the_whole_machine_are_an_error(tmp_path: Path) -> None:
    """A raw tritonserver 2.51 starts threads until nothing on the machine can."""
    cases.model(tmp_path, cases.BASE.replace("count: 1", "count: 2147483647"))
    assert found(tmp_path)["instance-group"][:2] == ("error", 6)


def test_links_out_of_a_model_folder_are_warnings(tmp_path: Path) -> None:
    outside = cases.model(tmp_path / "outside")
    folder = cases.model(tmp_path / "repository", versions=())
    (folder / "1").symlink_to(outside / "1")
    assert [f.level for f in lint(tmp_path / "repository") if f.rule == "link"] == ["warning"]


def test_links_in_a_circle_are_errors(tmp_path: Path) -> None:
    one, other = cases.model(tmp_path, name="one", config=None), cases.model(tmp_path, name="other", config=None)
    (one / "1/there").symlink_to(other)
    (other / "1/back").symlink_to(one)
    assert {Path(f.file).name for f in lint(tmp_path) if f.rule == "link" and f.level == "error"} == {"there", "back"}


def test_native_traps_are_warnings(tmp_path: Path) -> None:
    cases.model(tmp_path, cases.BASE.replace("onnxruntime", "openvino") + 'default_model_filename: "model.onnx"')
    assert found(tmp_path)["openvino-batch"][0] == "warning"


@pytest.mark.parametrize(("size", "shape", "warned"), [(4, "", True), (4, "1", False), (0, "1", False)])
def test_a_row_of_one_value_without_a_dimension_is_a_warning(
    tmp_path: Path, size: int, shape: str, warned: bool
) -> None:
    tensors = "data_type: TYPE_FP32 dims: [1]"
    config = f'backend: "onnxruntime"\nmax_batch_size: {size}\n'
    config += f'input {{ name: "x" {tensors} reshape {{ shape: [{shape}] }} }}\noutput {{ name: "y" {tensors} }}\n'
    cases.model(tmp_path, config)
    assert ("empty-reshape" in found(tmp_path)) == warned


def test_no_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        lint(tmp_path / "nothing")


@settings(max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=300), st.text(alphabet='{}[]:"<>#\\ \nabdeimnopstxz_0189-,', max_size=200).map(str.encode)
    )
)
def test_any_bytes_are_answered(tmp_path_factory: pytest.TempPathFactory, config: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    cases.model(root, None)
    (root / "m/config.pbtxt").write_bytes(config)
    for finding in lint(root):
        assert finding.sentence


def test_loadable_looks_at_members_only(tmp_path: Path) -> None:
    cases.ensemble(tmp_path)
    cases.model(tmp_path, "broken", name="other")
    assert loadable(tmp_path, "e") == []
    assert [f.rule for f in loadable(tmp_path, "other")] == ["config-parse"]

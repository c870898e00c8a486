"""Settings as a user types them: what goes with a change, what is unset, emptied or refused; and what `show` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repositories import MODEL
from tests.support.ruled import NAMES
from tests.support.workspaces import opened, publish
from tritonpm.cli.commands.set import trial_sentences
from tritonpm.cli.main import main
from tritonpm.operations.autoscale import InstanceTrial
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.settings.settings import Settings

CASCADE = """
schema: 1
name: c
version: "1"
stages:
  - {name: first, model: first.onnx}
  - {name: second, model: second.onnx, inputs: {x: first.y}}
"""
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a package of one stage, `p`, and a cascade, `c`."""
    (tmp_path / "p.onnx").write_bytes(MODEL)
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "package.yaml").write_text(CASCADE)
    for name in ("first", "second"):
        (folder / f"{name}.onnx").write_bytes(MODEL)
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    import_package(context, tmp_path / "p.onnx")
    import_package(context, folder)
    return tmp_path / "w"


@pytest.fixture
def typed(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """A command, typed: (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tritonpm", *map(str, words), "-w", str(root)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out, said.err

    return run


def settings(root: Path, name: str = "p") -> Settings:
    return opened(root).catalogue.get(name).settings


def test_an_instance_number_goes_with_the_shared_mode(root: Path, typed: Typed) -> None:
    assert typed("set", "p", "--mode", "performance", "--instances", 2)[0] == 0
    code, out, err = typed("set", "p", "--mode", "shared")
    assert (code, out) == (0, "Set mode of p.\n")
    assert "p: this change resets instances to the default." in err
    assert settings(root).instances is None
    code, _, err = typed("set", "p", "--mode", "shared", "--instances", 2)
    assert (code, "one instance" in err) == (3, True)


def test_lists_are_emptied_and_mappings_unset(root: Path, typed: Typed) -> None:
    given = ("--preferred-batch-sizes", "2,4", "--accelerators", "openvino", "--parameter", "a=b", "--parameter", "c=d")
    assert typed("set", "p", *given, "--tolerance", "max_abs=0.1", "--rate-limiter", "r=2", "--shape", "x=1x4")[0] == 0
    assert typed("set", "p", "--preferred-batch-sizes", "", "--accelerators", "")[0] == 0
    now = settings(root)
    assert (now.preferred_batch_sizes, now.accelerators, now.parameters) == ((), (), {"a": "b", "c": "d"})
    code, out, _ = typed("set", "p", "--unset", "parameter,tolerance", "--unset", "rate-limiter", "--unset", "shapes")
    assert (code, out) == (0, "Unset parameters, rate_limiter, shapes, tolerances of p.\n")
    assert settings(root) == Settings()
    assert typed("set", "p", "--device", "gpu", "--gpus", "1,0")[0] == 0
    assert typed("set", "p", "--gpus", "")[0] == 0
    assert settings(root).gpus == ()


def test_every_setting_can_be_named_to_be_unset(typed: Typed) -> None:
    options = [name.replace("_", "-") for name in NAMES]
    for words in (NAMES, options, [f"--{name}" for name in options]):
        code, out, err = typed("set", "p", f"--unset={','.join(words)}")
        assert (code, out, err) == (0, f"Unset {', '.join(sorted(NAMES))} of p.\n", "")


def test_what_is_unset_and_set_at_once(root: Path, typed: Typed) -> None:
    typed("set", "p", "--priority", 3, "--max-batch-size", 4)
    code, out, _ = typed("set", "p", "--unset", "priority", "--idle-seconds", 5)
    assert (code, out) == (0, "Set idle_seconds and unset priority of p.\n")
    assert settings(root) == Settings(max_batch_size=4, idle_seconds=5)
    code, _, err = typed("set", "p", "--unset", "idle-seconds", "--idle-seconds", 5)
    assert (code, "both given and unset" in err) == (3, True)
    code, _, err = typed("set", "p", "--unset", "colour")
    assert (code, "no setting 'colour'" in err) == (2, True)


def test_a_stages_own_is_shown_and_unset(root: Path, typed: Typed) -> None:
    assert typed("set", "c", "--stage", "second", "--max-batch-size", 2, "--preferred-batch-sizes", "1,2")[0] == 0
    shown = typed("show", "c")[1]
    assert "ITS OWN" in shown
    assert [line.split()[-2:] for line in shown.splitlines() if "max_batch_size" in line] == [["max_batch_size", "2"]]
    stages = json.loads(typed("show", "c", "-o", "json")[1])["data"]["stages_in_detail"]
    assert [(stage["settings"], stage["max_batch_size"]) for stage in stages] == [
        ({}, 8),
        ({"max_batch_size": 2, "preferred_batch_sizes": [1, 2]}, 2),
    ]
    code, out, _ = typed("set", "c", "--stage", "second", "--unset", "max-batch-size,preferred_batch_sizes")
    assert (code, out) == (0, "Unset max_batch_size, preferred_batch_sizes of stage second of c.\n")
    assert settings(root, "c") == Settings()
    assert "ITS OWN" not in typed("show", "c")[1]


@pytest.mark.parametrize(
    "words",
    [
        ("--tolerance", "max_abs=inf"), ("--tolerance", "max_abs=nan"), ("--tolerance", "max_abs=-1"),
        ("--max-drop", "nan"), ("--priority", 1 << 64), ("--rate-limiter", f"r={1 << 64}"), ("--gpus", 1 << 64),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_kept_is_refused_before_it_is(
    root: Path, typed: Typed, words: tuple[object, ...]
) -> None:
    before = settings(root)
    code, _, err = typed("set", "p", *words)
    assert (code, err.count("\n"), err[:7]) == (3, 1, "Error: ")
    assert settings(root) == before
    assert typed("verify")[0] == 0


def test_the_list_says_what_triton_batches(root: Path, typed: Typed) -> None:
    code, _, _ = typed("set", "p", "--backend", "openvino", "--max-batch-size", 32)
    listed = json.loads(typed("list", "-o", "json")[1])["data"]
    assert (code, {one["name"]: one["max_batch_size"] for one in listed}) == (0, {"c": 8, "p": 0})
    shown = typed("show", "p")[1]
    assert "0: Triton does not combine requests" in shown
    assert "max batch size 32 has no effect: the openvino backend refuses partial batches" in shown


def test_an_unreadable_record_costs_that_one_alone(root: Path, typed: Typed) -> None:
    broken = opened(root).catalogue
    broken._database.do("UPDATE packages SET settings = ? WHERE name = 'c'", b'{"tolerances":{"max_abs":null}}')
    for command in (
        ("list",),
        ("show", "p"),
        ("set", "p", "--max-batch-size", 2),
        ("status",),
        ("jobs",),
        ("plan", "-f", "x"),
    ):
        code, out, err = typed(*command)
        assert code == (5 if command[0] == "plan" else 0), (command, err)
        assert "corrupt" not in out + err
    code, out, _ = typed("verify")
    assert (code, "record  c     the record of c cannot be read" in out) == (1, True)
    code, _, err = typed("show", "c")
    assert (code, "`tritonpm remove` its package" in err) == (7, True)
    code, _, err = typed("remove", "p")
    assert (code, "no files were deleted" in err) == (0, True)
    assert typed("remove", "c")[:2] == (0, "Removed c.\n")
    assert typed("verify")[:2] == (0, "Nothing is damaged.\n")
    assert list((root / ".tritonpm/blobs/sha256").glob("*/*")) == []


def test_a_published_package_whose_revision_cannot_be_read_is_removed_with_its_folders(
    root: Path, typed: Typed
) -> None:
    context = opened(root)
    for name in ("p", "c"):
        publish(context, name)
    foreign = root / "model_repository/c.mine"
    foreign.mkdir()
    (foreign / "config.pbtxt").write_text('name: "c.mine"')
    context.catalogue._database.do("UPDATE revisions SET revision = ? WHERE package = 'c'", b"rotten")
    code, out, _ = typed("verify")
    assert (code, "orphan" in out, "c, revision 1" in out) == (1, False, True)
    typed("doctor", "--fix")
    assert {"c", "p"} <= {path.name for path in (root / "model_repository").iterdir()}
    assert typed("remove", "c")[0] == 0
    assert {path.name for path in (root / "model_repository").iterdir()} == {"p", "c.mine"}


def test_what_instances_brought_is_told_as_it_was_measured() -> None:
    one, two, four = InstanceTrial(1, 745.2, None), InstanceTrial(2, 1122.0, 1.163), InstanceTrial(4, 1130.0, 1.01)
    said = list(trial_sentences([one, two, four]))
    assert said[:2] == [
        "1 instance: 745 infer/s",
        "2 instances: 1122 infer/s, 1.16 × that of 1 instance measured in turn",
    ]
    assert said[-1] == "2 are kept: more bring less than 5%."
    assert list(trial_sentences([one, two]))[-1] == "2 are kept: more are not tried on this machine."
    assert list(trial_sentences([one, InstanceTrial(2, 750.0, 1.01)]))[-1] == "1 is kept: more bring less than 5%."

"""What differs between two revisions: members by their stages, and a package that had another name by the one it has."""

from __future__ import annotations

from tests.support.workspaces import publish
from tritonpm.operations.context import Context
from tritonpm.operations.diff import differences
from tritonpm.operations.rename import rename
from tritonpm.operations.set import change


def changed(context: Context, name: str) -> dict[str, list[str]]:
    """The lines that went and came between the first two revisions, by the file that they are in."""
    lines: dict[str, list[str]] = {}
    for line in differences(context, name, 1, 2):
        if line.startswith("+++"):
            lines[line.partition("/")[2]] = kept = []
        elif line.startswith(("-", "+")) and not line.startswith("---"):
            kept.append(line)
    return lines


def test_a_changed_stage(published: Context) -> None:
    change(published, "c", {"queue_delay_us": 77}, stage="second")
    publish(published, "c")
    files = changed(published, "c")
    assert any("77" in line for line in files["second/config.pbtxt"])
    assert {path.partition("/")[0] for path in files} == {"c", "second"}  # the ensemble names its new member


def test_a_package_with_another_name(published: Context) -> None:
    rename(published, "p", "q")
    publish(published, "q")
    files = changed(published, "q")
    assert {path.partition("/")[0] for path in files} == {"q"}
    assert not [path for path in files if path.endswith("model.onnx")]  # the model is the same
    assert {'-name: "p"', '+name: "q"'} <= set(files["q/config.pbtxt"])

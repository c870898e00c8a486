"""Imports: a refusal leaves nothing, two at once both succeed, and an adopted folder keeps its settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.packages import package
from tests.support.repositories import BASE, model
from tests.support.workspaces import files_of, opened
from tritonpm.core.errors import NameTakenError, RuleError, UnsafeError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.list import packages
from tritonpm.operations.render import render
from tritonpm.operations.set import change


def test_a_refusal_leaves_nothing(context: Context, tmp_path: Path) -> None:
    import_package(context, package(tmp_path / "a"))
    before = files_of(context)
    with pytest.raises(NameTakenError, match="taken"):
        import_package(context, package(tmp_path / "b", expected=2.0))
    with pytest.raises(NameTakenError, match="same content is there as 'p'"):
        import_package(context, tmp_path / "a", name="q")
    with pytest.raises(RuleError, match="0 to 65536"):
        import_package(context, package(tmp_path / "c", "c", expected=3.0), changes={"max_batch_size": -1})
    code = model(tmp_path / "repository", BASE.replace("onnxruntime", "python"))
    (code / "1/model.py").write_text("print('hello')")
    with pytest.raises(UnsafeError, match="allow-code"):
        import_package(context, code)
    assert files_of(context) == before
    assert [p.name for p in packages(context.catalogue)] == ["p"]


def test_two_imports_at_once_both_succeed(context: Context, tmp_path: Path) -> None:
    sources = [package(tmp_path / f"s{i}", f"p{i}", expected=float(i)) for i in range(6)]
    root = context.workspace.root
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda source: import_package(opened(root), source), sources))
    assert [p.name for p in packages(context.catalogue)] == [f"p{i}" for i in range(6)]


def test_settings_of_an_adopted_folder_are_its_own(context: Context, tmp_path: Path) -> None:
    text = BASE.replace("count: 1", "count: 3") + 'metric_tags { key: "a" value: "b" }'
    model(tmp_path / "repository", text)
    view = import_package(context, tmp_path / "repository/m")
    assert (view.mode, view.instances, view.max_batch_size) == ("performance", 3, 8)
    render(context, "m", tmp_path / "out")
    said = (tmp_path / "out/m/config.pbtxt").read_text()
    assert "metric_tags" in said
    assert "count: 3" in said
    change(context, "m", {"max_batch_size": 4})
    render(context, "m", tmp_path / "out")
    assert "max_batch_size: 4" in (tmp_path / "out/m/config.pbtxt").read_text()

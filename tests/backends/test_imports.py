"""The backends run in the server's own Python processes, where nothing of tritonpm is to be had."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tritonpm import backends

FILES = sorted(Path(next(iter(backends.__path__))).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_backend_imports_nothing_of_tritonpm(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [module for module in modules if module.partition(".")[0] == "tritonpm"]
    assert modules

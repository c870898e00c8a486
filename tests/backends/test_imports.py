"""The backends run in the server's own Python processes, where nothing of tritonpm is to be had."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tritonpm import backends
from tritonpm.package.members import source

FILES = sorted(Path(next(iter(backends.__path__))).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_backend_imports_nothing_of_tritonpm(file: Path) -> None:
    program = source(file.stem) if file.parent.name == "members" else file.read_bytes()
    nodes = list(ast.walk(ast.parse(program)))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [module for module in modules if module.partition(".")[0] == "tritonpm"]
    assert modules


def test_what_is_rendered_runs_in_the_oldest_images() -> None:
    """Which have Python 3.8: its syntax, no strict zip, and no type made of built-in ones but in annotations."""
    tree = ast.parse(source("encoded"), feature_version=(3, 8))
    called = [word.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords]
    assert "strict" not in called
    made = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert not [value for value in made if isinstance(value, ast.Subscript)]

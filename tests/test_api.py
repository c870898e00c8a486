"""The Python of the docs runs as it stands, and what the API offers takes a workspace and is documented."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.support.models import scaled
from tritonpm import api
from tritonpm.operations.context import Context
from tritonpm.operations.init import init

DOCS = Path(__file__).parents[1] / "docs/python.md"
WITHOUT = {"init", "inspect", "lint"}  # of a folder or file, whether or not there is a workspace


@pytest.mark.server
def test_the_program_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "line-3")
    (tmp_path / "bolts.onnx").write_bytes(scaled(2.0))
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})


def test_an_operation_takes_the_workspace_first_and_says_what_it_does() -> None:
    operations = {name: getattr(api, name) for name in api.__all__ if name not in ("Context", "TritonpmError")}
    assert sorted(api.__all__) == sorted(set(api.__all__))
    for name, operation in operations.items():
        assert operation.__doc__, name
        first = next(iter(inspect.signature(operation, eval_str=False).parameters.values()))
        assert name in WITHOUT or first.annotation == Context.__name__, name

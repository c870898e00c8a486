"""Every sentence that the page says, found where it is said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tritonpm.core import errors
from tritonpm.core.types import Task
from tritonpm.hardware.nvml import REASONS
from tritonpm.operations.monitor.figures import NOTES
from tritonpm.settings import RULES
from tritonpm.web.language import HERE, script_sentences
from tritonpm.web.pages.monitor import CHARTS, FIELDS
from tritonpm.web.pages.render import DEVICES, HELPS, MODES, RAIL, RESIDENCIES, SENT, STATUSES
from tritonpm.web.problems import title_of

_IN_TEMPLATE = re.compile(r"""(?<![\w.])_\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
# Words that come from views: job states, states of a proof, kinds of a batch axis.
_WORDS = (
    "running", "done", "cancelled", "interrupted", "verified", "unverified", "stale", "missing", "proved", "declared",
)  # fmt: skip


def sentences() -> list[str]:
    """All of them, each once."""
    return list(dict.fromkeys(_all()))


def _all() -> Iterator[str]:
    for template in sorted((HERE / "templates").iterdir()):
        for found in _IN_TEMPLATE.finditer(template.read_text("utf-8")):
            yield ast.literal_eval(found[1])
    for source in sorted(HERE.rglob("*.py")):
        yield from _said(source)
    yield from script_sentences()
    for names in (DEVICES, HELPS, MODES, RAIL, RESIDENCIES, SENT, STATUSES, FIELDS):
        yield from names.values()
    yield from (task.value.replace("-", " ") for task in Task)
    for rule in RULES:
        yield from (rule.sentence, rule.do)
    yield from _titles(errors.TritonpmError)
    yield from (chart.title for chart in CHARTS)
    yield from (*NOTES, *REASONS, *_WORDS)


def _said(source: Path) -> Iterator[str]:
    """What Python says with say("…"), and the titles of problems that are no error of ours."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            index = {"say": 0, "plain_problem": 1}.get(node.func.id)
            if index is not None and len(node.args) > index and isinstance(node.args[index], ast.Constant):
                yield str(node.args[index].value)  # type: ignore[attr-defined]


def _titles(kind: type[errors.TritonpmError]) -> Iterator[str]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield title_of(child)
            yield from _titles(child)

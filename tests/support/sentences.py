"""Every sentence that the page says, found where it is said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tritonpm.core import errors
from tritonpm.core.roles import Role
from tritonpm.core.types import Task
from tritonpm.hardware.nvml import REASONS
from tritonpm.operations.monitor.figures import NOTES
from tritonpm.settings import RULES
from tritonpm.web.callers import LOCAL, SHARED
from tritonpm.web.language import HERE, script_sentences
from tritonpm.web.pages.activity import ACTIONS, OUTCOMES, WAYS
from tritonpm.web.pages.monitor import CHARTS, FIELDS, TIMES
from tritonpm.web.pages.package import TABS
from tritonpm.web.pages.render import DEVICES, HELPS, MODES, RAIL, RESIDENCIES, SENT, STATUSES, UNBATCHED
from tritonpm.web.problems import title_of

_IN_TEMPLATE = re.compile(r"""(?<![\w.])_\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_PLURAL = re.compile(r"""(?<![\w.])_n\(\s*"(?:[^"\\]|\\.)*",\s*("(?:[^"\\]|\\.)*")""")  # the second one is the key
ROOT = HERE.parent
# What is put together of parts, and what Triton says so often that it is worth a translation.
_COMPOSED = (
    "{count} sample", "{count} samples", "{count} object", "{count} objects", "{count} thread", "{count} threads",
    "{count} request", "{count} requests", "{count} row", "{count} rows",
    "run one by one and in batches of up to {largest}, equal row by row ({damages})",
    "Triton {version} is live. Not loaded: {failed}.",
    "load failed for model {name}: version {version} is at UNAVAILABLE state: {reason}",
)  # fmt: skip
# Words that come from views: job states, states of a proof, kinds of a batch axis.
_WORDS = (
    "running", "done", "cancelled", "interrupted", "verified", "unverified", "stale", "missing", "proved", "declared",
)  # fmt: skip


@cache
def sentences() -> tuple[str, ...]:
    """All of them, each once."""
    return tuple(dict.fromkeys(_all()))


def _all() -> Iterator[str]:
    for template in sorted((HERE / "templates").iterdir()):
        text = template.read_text("utf-8")
        for found in (*_IN_TEMPLATE.finditer(text), *_PLURAL.finditer(text)):
            yield ast.literal_eval(found[1])
    for source in sorted(HERE.rglob("*.py")):
        yield from _said(source)
    yield from script_sentences()
    for names in (
        DEVICES, HELPS, MODES, RAIL, TABS, RESIDENCIES, SENT, STATUSES, FIELDS, TIMES, ACTIONS, OUTCOMES, WAYS,
    ):  # fmt: skip
        yield from names.values()
    yield from (task.value.replace("-", " ") for task in Task)
    for rule in RULES:
        yield from (rule.sentence, rule.do)
    yield from _titles(errors.TritonpmError)
    yield from (chart.title for chart in CHARTS)
    yield from (UNBATCHED, *NOTES, *REASONS, *_WORDS, *(role.value for role in Role), LOCAL, SHARED)


def documented(document: Mapping[str, Any]) -> list[str]:
    """What the page of the REST API says of it, from its OpenAPI document."""

    def said() -> Iterator[str]:
        for tag in document["tags"]:
            yield from (tag["name"].capitalize(), tag["description"])
        for operation in (one for methods in document["paths"].values() for one in methods.values()):
            yield from (" ".join(text.split()) for text in operation["description"].split("\n\n"))
            yield from (
                parameter["description"] for parameter in operation.get("parameters", ()) if "description" in parameter
            )
            yield from (response["description"] for response in operation["responses"].values())

    return list(dict.fromkeys(said()))


@cache
def made_elsewhere() -> set[str]:
    """The shapes of the sentences that other rooms make, places in them as {}: errors, progress, results."""
    made = {shape(text) for path in sorted(ROOT.rglob("*.py")) for text in _texts(ast.parse(path.read_text("utf-8")))}
    return made | set(map(shape, _COMPOSED))


@cache
def results() -> set[str]:
    """The shapes of what the REST API's operations come to."""
    trees = (ast.parse(path.read_text("utf-8")) for path in sorted((HERE / "api").glob("*.py")))
    returned = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Return))
    return {shape(text) for node in returned for text in _texts(node) if text.endswith(".") and not text[0].isspace()}


@cache
def refusals() -> tuple[tuple[str, str], ...]:
    """What errors say happened: the file below tritonpm/, and the sentence with its places, where it stands there.

    Without what is put together of other sentences alone.
    """
    return tuple(_refusals())


def _refusals() -> Iterator[tuple[str, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        place = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _called(node).endswith("Error") and _called(node) not in _BUILTIN:
                said = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "what")]
                texts = (text for argument in said for text in _alternatives(argument))
                yield from ((place, text) for text in texts if re.search("[a-z]{3}", re.sub(r"\{[^}]*\}", "", text)))


_BUILTIN = {"ValueError", "RuntimeError", "OSError", "TypeError", "KeyError", "AttributeError", "JobCancelledError"}


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "")


def _alternatives(node: ast.expr) -> list[str]:
    """The texts that an expression may be, as far as they stand in it."""
    if isinstance(node, ast.IfExp):
        return _alternatives(node.body) + _alternatives(node.orelse)
    return list(_texts(node))[:1] if isinstance(node, ast.Constant | ast.JoinedStr) else []


def shape(sentence: str) -> str:
    """A sentence without the names of its places."""
    return re.sub(r"\{[^}]*\}", "{}", sentence)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a piece of code that is no documentation, f-strings with {} for what they hold."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | inside:
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _said(source: Path) -> Iterator[str]:
    """What Python says with say("…"), and the titles of problems that are no error of ours."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            index = {"say": 0, "plain_problem": 1}.get(node.func.id)
            if index is not None and len(node.args) > index and isinstance(node.args[index], ast.Constant):
                yield str(node.args[index].value)  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "plural":
            yield str(node.args[1].value)  # type: ignore[attr-defined]


def _titles(kind: type[errors.TritonpmError]) -> Iterator[str]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield title_of(child)
            yield from _titles(child)

"""The generated config.pbtxt of a package: its text in coloured pieces, and how it differs from what is published."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tritonpm.core.types import Revision
from tritonpm.operations.artefacts import made
from tritonpm.operations.context import Context
from tritonpm.operations.render import revision_of
from tritonpm.repository.member_names import stage_of

# One group a kind of token; the group's name is the class in the style sheet.
_TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<text>\"(?:\\.|[^\"\\\n])*\")|(?P<key>[A-Za-z_]\w*(?=\s*[:{\[]))"
    r"|(?P<constant>\b[A-Z][A-Z0-9_]+\b|\btrue\b|\bfalse\b)|(?P<number>(?<![\w.])-?\d+(?:\.\d+)?)"
)


@dataclass(frozen=True)
class Piece:
    """Some characters of one kind: comment, text, key, constant, number, or "" for the rest."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Config:
    """A model's config.pbtxt; `diff` are the lines in which it differs from the published one."""

    model: str
    text: str
    diff: tuple[str, ...] = ()

    @property
    def pieces(self) -> list[Piece]:
        """The text in coloured pieces."""
        return list(pieces(self.text))


def configs(context: Context, name: str) -> list[Config]:
    """What the settings ask for now, beside the revision that is published, or where that is it, the one before.

    Raises NotFoundError, RuleError, RenderError.
    """
    record = context.catalogue.get(name)
    wanted = revision_of(context, record.package, record.settings, optimised=made(context, record))
    kept = [published for published in context.catalogue.history(name) if published.revision.digest != wanted.digest]
    current = next((published for published in kept if published.current), kept[0] if kept else None)
    before = _texts(current.revision) if current else {}
    label = f"{current.number}" if current else ""
    return [
        Config(model.name, text, _diff(before.get(stage, ""), text, label) if current else ())
        for model, (stage, text) in zip(wanted.models, _texts(wanted).items(), strict=True)
    ]


def _texts(revision: Revision) -> dict[str, str]:
    """By stage, since a member's name holds the digest of its content."""
    texts = {}
    for model in revision.models:
        texts[stage_of(model.name)] = next((file.text or "" for file in model.files if file.path == "config.pbtxt"), "")
    return texts


def _diff(before: str, after: str, number: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"revision {number}", "settings now", lineterm=""
    )
    return tuple(lines)


def pieces(text: str) -> Iterator[Piece]:
    """A config in pieces that together are its text."""
    at = 0
    for token in _TOKEN.finditer(text):
        if token.start() > at:
            yield Piece(text[at : token.start()])
        yield Piece(token[0], token.lastgroup or "")
        at = token.end()
    if at < len(text):
        yield Piece(text[at:])

"""The pieces that script/lint-oracle makes configs of say every field of ModelConfig, and every value of its enums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format

from tests.support.lint.generated import BASES, ENSEMBLE, PLAIN
from tests.support.lint.pieces import TYPES
from tritonpm.repository.config import messages


def texts() -> Iterator[str]:
    for base in BASES.values():
        for place, families in (ENSEMBLE if base.of_ensemble else PLAIN).items():
            for piece in (piece for pieces in families.values() for piece in pieces):
                yield base.with_piece(place, piece).text()


def said(message: Any) -> Iterator[str]:
    """The full names of the fields that a message has, its own and those below."""
    for field, value in message.ListFields():
        yield field.full_name
        values = value.values() if hasattr(value, "values") else value if hasattr(value, "__len__") else (value,)
        for inner in values:
            if hasattr(inner, "ListFields"):
                yield from said(inner)


def messages_below(descriptor: Any, seen: set[str]) -> Iterator[Any]:
    """The descriptors of a message and of all those in it; an entry of a map is its value's."""
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    entry = descriptor.GetOptions().map_entry
    if not entry:
        yield descriptor
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from messages_below(field.message_type, seen)


def test_every_field_and_every_enum_value_is_in_a_case() -> None:
    every = list(messages_below(messages().ModelConfig.DESCRIPTOR, set()))
    fields = {field.full_name for message in every for field in message.fields}
    enums = {
        field.enum_type.full_name: field.enum_type for message in every for field in message.fields if field.enum_type
    }
    covered: set[str] = set()
    words = set(TYPES)
    for text in texts():
        words |= set(re.findall(r"\w+", text))
        try:
            config = text_format.Parse(text, messages().ModelConfig())
        except text_format.ParseError:
            continue  # what the text format refuses is a case as well
        covered |= set(said(config))
    assert fields - covered == set()
    assert {value.name for enum in enums.values() for value in enum.values} - words == set()

"""What a cascade's own models are called: their stage, and the first digits of the digest of all that they hold."""

from __future__ import annotations

import re

_DIGITS = 12
_MEMBER = re.compile(rf"(?P<stage>.+)\.[0-9a-f]{{{_DIGITS}}}")


def member_name(stage: str, digest: str) -> str:
    """The name of a member; `digest` in hexadecimal digits."""
    return f"{stage}.{digest[:_DIGITS]}"


def stage_of(model: str) -> str:
    """The stage that a member is of, by its name; "" for a model that is no member."""
    found = _MEMBER.fullmatch(model)
    return found["stage"] if found else ""

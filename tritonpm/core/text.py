"""Characters that are no part of a name or a sentence: they steer a terminal, turn its lines, or are no text at all."""

from __future__ import annotations

import re

API_VERSION = "tritonpm/v1"  # of what is printed as JSON and YAML: keys are added, never renamed or removed
# Control characters (C0, DEL, C1), what turns the direction of text, separators of lines, and halves of characters.
UNSEEN = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff"
_IN_A_LINE, _IN_TEXT = re.compile(f"[{UNSEEN}]"), re.compile(f"(?![\\n\\t])[{UNSEEN}]")


def harmless(text: str, *, lines: bool = False) -> str:
    r"""Text that can be printed: what steers a terminal stands there as `\u001b`; with `lines` it may have several."""
    return (_IN_TEXT if lines else _IN_A_LINE).sub(lambda found: escaped(found[0]), text)


def escaped(character: str) -> str:
    r"""One character as Python and JSON write it: `\u001b`."""
    return f"\\u{ord(character):04x}"

"""Where a field stands in a config.pbtxt: the line of `input[1].dims` in its text."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|[-+.\w]+|[{}<>\[\]:,;]|.""", re.S
)


def stray(text: str) -> int:
    """The line of the first character that Triton's reader of text does not take, and Python's does; 0: there is none.

    Outside of strings and comments it knows ASCII only, and NUL nowhere.
    """
    line = 1
    for match in _TOKEN.finditer(text):
        word = match[0]
        plain = not word.startswith(("#", '"', "'"))
        if "\0" in word or (plain and re.search(r"[^\t-\r -~]", word)):
            return line
        line += word.count("\n")
    return 0


def lines_of(text: str) -> dict[str, int]:
    """The line of each field by its path; repeated fields are numbered: `input[0].name`.

    It follows names and braces only, so it works as far as a broken text makes sense.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    path: list[str] = []
    line, name, depth = 1, "", 0
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word in "{<" and name:
            path.append(name)
            name = ""
        elif word in "}>" and path:
            path.pop()
        elif word in "[]":
            depth += 1 if word == "[" else -1
        elif re.fullmatch(r"[A-Za-z_]\w*", word) and _names_a_field(text, match.end()) and depth <= 0:
            base = ".".join([*path, word])
            number = counts.get(base, 0)
            counts[base] = number + 1
            name = f"{word}[{number}]"
            lines.setdefault(base, line)
            lines[".".join([*path, name])] = line
        line += word.count("\n")
    return lines


def _names_a_field(text: str, end: int) -> bool:
    following = text[end:].lstrip()[:1] if len(text) - end < 4096 else text[end : end + 4096].lstrip()[:1]
    return following in (":", "{", "<")

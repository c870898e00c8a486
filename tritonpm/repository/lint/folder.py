"""A model folder as lint sees it: read within bounds, through no link, whatever it holds."""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonpm.core.types import Finding
from tritonpm.core.units import MIB
from tritonpm.package.config import of_text
from tritonpm.repository.lint.lines import lines_of, stray

Problem = tuple[str, str]  # (path of the field, sentence)
CONFIG = "config.pbtxt"
_MOST_CONFIG = 4 * MIB  # bytes: Triton takes more, and needs seconds and gigabytes for it
# A byte beyond ASCII, escaped in a string: Triton takes any, Python's reader UTF-8 only.
_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:[23][0-7]{2}|x[89a-fA-F][0-9a-fA-F])")
_MOST_ENTRIES = 100_000
_MOST_VERSION = 2**63 - 1


@dataclass(frozen=True)
class ModelFolder:
    """One model: its config (None where it cannot be read), its versions, and what reading it found."""

    path: Path
    config: Any
    lines: dict[str, int]
    versions: tuple[int, ...]
    problems: tuple[Finding, ...] = field(default=())

    @property
    def name(self) -> str:
        """The folder's name, which is the model's."""
        return self.path.name

    @property
    def ensemble(self) -> bool:
        """Whether it runs other models."""
        return self.config is not None and self.config.platform == "ensemble"

    def finding(self, level: str, rule: str, place: str, sentence: str) -> Finding:
        """A finding at the field `place` of the config; the line of the nearest field that stands there."""
        line = 0
        while place and not line:
            line = self.lines.get(place, 0)
            place = place.rpartition(".")[0]
        return Finding(level, rule, str(self.path / CONFIG), line, sentence)


def read(path: Path) -> ModelFolder:
    """Read a model folder."""
    problems = list(_strange_files(path))
    if any(problem.level == "error" for problem in problems):
        return ModelFolder(path, None, {}, (), tuple(problems))
    versions = tuple(_versions(path, problems))
    text = _config_text(path, problems)
    if text is None:
        return ModelFolder(path, None, {}, versions, tuple(problems))
    config, line, reason = _parsed(text)
    if reason:
        problems.append(Finding("error", "config-parse", str(path / CONFIG), line, reason))
    return ModelFolder(path, config, lines_of(text), versions, tuple(problems))


def _strange_files(path: Path) -> Iterator[Finding]:
    """What wedges a server (circular links, pipes, devices), and links that only this machine can follow."""
    for count, (place, above) in enumerate(_entries(path, (path.resolve(),))):
        name = place.name
        link = place.is_symlink()
        if reason := unreachable(place):
            harmless = reason == "nothing" and place.parent != path  # Triton looks at its own level
            level = "warning" if harmless else "error"
            yield Finding(level, "link", str(place), 0, f"{name} is a link to {reason}")
            continue
        mode, target = place.stat().st_mode, place.resolve()
        if link and any(folder.is_relative_to(target) for folder in above):
            yield Finding("error", "link", str(place), 0, f"{name} is a link to a folder above: Triton hangs on it")
        elif link and not target.is_relative_to(path.resolve()):
            sentence = (
                f"{name} is a link that leads out of the model folder: object stores and other machines have no {name}"
            )
            yield Finding("warning", "link", str(place), 0, sentence)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            sentence = f"{name} is a pipe, socket or device: Triton hangs on it"
            yield Finding("error", "special-file", str(place), 0, sentence)
        if count > _MOST_ENTRIES:
            yield Finding("error", "too-many-files", str(path), 0, f"it has more than {_MOST_ENTRIES} files")
            return


def unreachable(place: Path) -> str:
    """What a link leads to that leads nowhere; "" for what is there."""
    try:
        place.stat()
    except OSError as error:
        return "itself" if error.errno == errno.ELOOP else "nothing"
    return ""


def _entries(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Everything in a folder and below, with the real folders that it lies in; links are followed, but in no circle."""
    try:
        entries = sorted(folder.iterdir())
    except PermissionError:
        return
    for entry in entries:
        yield entry, above
        if entry.is_dir() and not any(outer.is_relative_to(entry.resolve()) for outer in above):
            yield from _entries(entry, (*above, entry.resolve()))


def _versions(path: Path, problems: list[Finding]) -> Iterator[int]:
    """Version folders, as Triton sees them: a number without a leading zero; others are left aside."""
    for entry in sorted(path.iterdir()):
        if not entry.is_dir() or entry.name == "configs":
            continue
        if not re.fullmatch(r"0|[1-9][0-9]*", entry.name):
            if re.match(r"[-+]?[0-9]", entry.name):
                sentence = f"{entry.name} is not a version that Triton serves: a version is a plain number such as 1"
                problems.append(Finding("warning", "version-name", str(entry), 0, sentence))
        elif int(entry.name) > _MOST_VERSION:
            sentence = f"the version {entry.name} is beyond 2^63 - 1, which ends the server"
            problems.append(Finding("error", "version-range", str(entry), 0, sentence))
        else:
            yield int(entry.name)


def _config_text(path: Path, problems: list[Finding]) -> str | None:
    place = path / CONFIG
    if not place.exists():
        return ""
    if not place.is_file():
        problems.append(Finding("error", "config-file", str(place), 0, f"{CONFIG} is not a file"))
        return None
    if place.stat().st_size > _MOST_CONFIG:
        problems.append(Finding("error", "config-size", str(place), 0, f"{CONFIG} has more than {_MOST_CONFIG} bytes"))
        return None
    return place.read_bytes().decode("utf-8", errors="replace")  # Triton does not mind in a comment


def _parsed(text: str) -> tuple[Any, int, str]:
    """(config, line, reason): None and why where it does not parse."""
    from google.protobuf.text_format import ParseError

    if line := stray(text):
        return None, line, "it does not parse: it contains a character that the text format does not have"
    try:
        return of_text(_ESCAPED.sub(r"\1?", text)), 0, ""
    except ParseError as error:
        reason = re.sub(r"^\d+:\d+ ?:? ?", "", str(error)).replace("'", '"')
        return None, error.GetLine() or 0, f"it does not parse: {reason}"
    except (RecursionError, ValueError) as error:
        return None, 0, f"it does not parse: {error}"

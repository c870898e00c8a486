"""A model folder as lint sees it: read within bounds, through no link, whatever it holds."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonpm.core.types import Finding
from tritonpm.core.units import MIB
from tritonpm.repository.config import messages
from tritonpm.repository.lint.lines import lines_of

CONFIG = "config.pbtxt"
_MOST_CONFIG = 4 * MIB  # bytes: Triton takes more, and needs seconds and gigabytes for it
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
    if problems:
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
    """What wedges or crashes a server, or leads out of the repository: links, pipes, devices."""
    count = 0
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            place = Path(folder, name)
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode) and not os.path.exists(place):  # noqa: PTH110  # a loop raises in pathlib before 3.13
                yield Finding("error", "link", str(place), 0, f"{name} is a link to itself or to nothing")
            elif stat.S_ISLNK(mode) and not place.resolve().is_relative_to(path.resolve()):
                yield Finding("error", "link", str(place), 0, f"{name} is a link that leads out of the model folder")
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                yield Finding(
                    "error", "special-file", str(place), 0, f"{name} is a pipe, socket or device: Triton hangs on it"
                )
            count += 1
        if count > _MOST_ENTRIES:
            yield Finding("error", "too-many-files", str(path), 0, f"it has more than {_MOST_ENTRIES} files")
            return


def _versions(path: Path, problems: list[Finding]) -> Iterator[int]:
    """Version folders, as Triton sees them: a number without a leading zero; others are left aside."""
    for entry in sorted(path.iterdir()):
        if not entry.is_dir() or entry.name == "configs":
            continue
        if not re.fullmatch(r"0|[1-9][0-9]*", entry.name):
            if re.match(r"[-+]?[0-9]", entry.name):
                sentence = f"{entry.name} is no version that Triton serves: a version is a plain number such as 1"
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
        problems.append(Finding("error", "config-file", str(place), 0, f"{CONFIG} is no file"))
        return None
    if place.stat().st_size > _MOST_CONFIG:
        problems.append(Finding("error", "config-size", str(place), 0, f"{CONFIG} has more than {_MOST_CONFIG} bytes"))
        return None
    try:
        return place.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(Finding("error", "config-parse", str(place), 0, f"{CONFIG} is no UTF-8 text ({error.reason})"))
        return None


def _parsed(text: str) -> tuple[Any, int, str]:
    """(config, line, reason): None and why where it does not parse."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, messages().ModelConfig()), 0, ""
    except text_format.ParseError as error:
        reason = re.sub(r"^\d+:\d+ ?:? ?", "", str(error)).replace("'", '"')
        return None, error.GetLine() or 0, f"it does not parse: {reason}"
    except (RecursionError, ValueError) as error:
        return None, 0, f"it does not parse: {error}"

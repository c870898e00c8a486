"""What a server's log says of its end and of its models."""

from __future__ import annotations

import re
from pathlib import Path

from tritonpm.core.units import MIB

LOG_KEPT = 8 * MIB  # bytes of log after which a start moves it aside
_TAIL = 1 << 16  # bytes of a log in which its last words are looked for
_MOST = 300  # characters of a line in a sentence
_ORDINARY = re.compile(r"[IW]\d{4} ")  # a line that says nothing of an end


def last_words(log: Path, since: int = 0) -> str:
    """What a server's log says of its end, "" where it says nothing; of what was written after `since` bytes.

    An error after which a model was loaded was not the end: without a GPU each start, and each ensemble, logs one.
    """
    if not log.is_file():
        return ""
    there = size(log)
    written = there - since if since <= there else there  # else it was moved aside meanwhile
    lines = tail(log, min(_TAIL, written)).decode(errors="replace").splitlines()
    served = max((at for at, line in enumerate(lines) if "successfully loaded" in line), default=-1)
    errors = [line for line in lines[served + 1 :] if re.match(r"E\d{4} |Signal |error:", line)]
    if errors:
        return errors[-1][:_MOST]
    return lines[-1][:_MOST] if lines and not _ORDINARY.match(lines[-1]) else ""


def size(log: Path) -> int:
    """Bytes of a log: where what is written next begins; it may have been deleted."""
    return log.stat().st_size if log.is_file() else 0


def tail(log: Path, most: int = _TAIL) -> bytes:
    """The last `most` bytes of a file."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - most))
        return stream.read()


def why_ended(log: Path, offset: int) -> str:
    """Of a server that ended at its start: the line that says why, from byte `offset` of the log on."""
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(offset)
        lines = [line.strip() for line in stream if line.strip()]
    usage = [at for at, line in enumerate(lines) if line.startswith("Usage: ")]
    if usage:  # a wrong option: pages of help, which say "error" in passing, and why before them, or else after them
        return lines[usage[0] - 1 if usage[0] else -1].rpartition("/tritonserver: ")[2]
    errors = [line for line in lines if line.startswith("E") or "error" in line.lower()]
    # After an error of main.cc the server shuts down, and may say more, or abort, on its way.
    final = [line for line in errors if "main.cc" in line]
    return (final or errors or lines or ["it said nothing"])[-1]


def reasons(log: Path, model: str, *, offset: int = 0) -> list[str]:
    """What the log says, from byte `offset` on, of errors with this model; the newest last."""
    if not log.is_file():
        return []
    sentences, detail = [], ""
    named = re.compile(rf"(?<![\w.-]){re.escape(model)}(?![\w-])")
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(offset)
        for line in lines:
            if line.startswith("[libprotobuf ERROR"):  # the line before the one that names the model
                detail = ": " + line.partition("ModelConfig: ")[2].strip()
            entry = re.match(r"[EW]\d{4} [\d:.]+ \d+ (?:[\w.]+:\d+\] )?(.*)", line)
            if entry and named.search(entry[1]):
                sentences.append(entry[1].strip().strip('"') + detail)
                detail = ""
    return sentences


def rotate(log: Path) -> None:
    """Move a long log aside."""
    if size(log) > LOG_KEPT:
        log.replace(log.with_suffix(".old.log"))

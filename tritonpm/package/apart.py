"""`read`, in a process of its own with limits: what a package holds costs whoever reads it no more than these."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.core import errors
from tritonpm.core.apart import Apart, Report
from tritonpm.core.errors import ManifestError, PackageError, TritonpmError, UnsafeError
from tritonpm.core.sandbox import EndedError
from tritonpm.core.types import Package
from tritonpm.core.units import GIB, MIB
from tritonpm.package.staging import Progress, silent

MEMORY = 4 * GIB  # bytes, for a package of any size: weights are stepped over
SECONDS = 60.0  # for a small package
_BYTES_A_SECOND = 10 * MIB  # of a large one
_REPORT_EVERY = 0.1  # seconds
_SMALLER = "split its samples or export its model again, smaller"


@dataclass(frozen=True)
class _Request:
    source: str
    staging: str
    name: str | None
    allow_code: bool


@dataclass(frozen=True)
class _Answer:
    """A package, a refusal, or the traceback of a bug."""

    package: Package | None = None
    refusal: dict[str, Any] | None = None
    bug: str = ""


def read_apart(
    apart: Apart, source: Path, staging: Path, folder: Path, *,
    name: str | None = None, allow_code: bool = False, progress: Progress = silent,
) -> Package:  # fmt: skip
    """As `tritonpm.package.read`, in the process `apart`; `folder` is an empty one of the caller's, not `staging`.

    Raises what `read` does, and UnsafeError where reading takes more than its time or memory.
    """
    request = _Request(str(source), str(staging), name, allow_code)
    seconds = SECONDS + _size(source) / _BYTES_A_SECOND
    try:
        raw = apart.ask(
            f"{__name__}:answer", msgspec.json.encode(request), folder, seconds=seconds, memory=MEMORY, report=progress
        )
    except EndedError as error:
        raise UnsafeError(f"reading it {error}", where=source.name, do=_SMALLER) from None
    answer = msgspec.json.decode(raw, type=_Answer)
    if answer.refusal:
        raise _raised(answer.refusal)
    if answer.package is None:
        raise RuntimeError(f"reading {source.name} failed:\n{answer.bug}")
    return answer.package


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """Read the package that is asked for."""
    from tritonpm.package import read

    asked, last = msgspec.json.decode(request, type=_Request), 0.0

    def progress(path: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last > _REPORT_EVERY:
            last = time.monotonic()
            report(path, done, total)

    try:
        staging = Path(asked.staging)
        package = read(Path(asked.source), staging, name=asked.name, allow_code=asked.allow_code, progress=progress)
        found = _Answer(package)
    except TritonpmError as error:
        found = _Answer(refusal=_told(error))
    except RecursionError:
        found = _Answer(refusal=_told(PackageError("is nested too deeply to be read", where=Path(asked.source).name)))
    except MemoryError:
        raise
    except Exception:
        found = _Answer(bug=traceback.format_exc())
    return msgspec.json.encode(found)


def _told(error: TritonpmError) -> dict[str, Any]:
    own = {"problems": error.problems} if isinstance(error, ManifestError) else {"what": error.what}
    return {"kind": type(error).__name__, "where": error.where, "do": error.do, **own}


def _raised(told: dict[str, Any]) -> TritonpmError:
    kind = getattr(errors, told.pop("kind"))
    if issubclass(kind, ManifestError):
        problems = [(path, sentence) for path, sentence in told["problems"]]
        return ManifestError(problems, where=told["where"], do=told["do"])
    error: TritonpmError = kind(**told)
    return error


def _size(source: Path) -> int:
    """How many bytes there are to be read; what cannot be looked at is told by who reads it."""
    try:
        if source.is_file():
            return source.stat().st_size
        return sum(path.lstat().st_size for path in source.rglob("*"))
    except OSError:
        return 0

"""What a private server said outlives its scratch folder where something went wrong on it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonpm.core.errors import ServerError
from tritonpm.core.units import MIB
from tritonpm.triton.log import last_words, tail

MOST, LONGEST = 8, MIB  # logs kept, the newest; bytes of each, its end
_PREFIX = re.compile(r"[EWI]\d{4} [\d:.]+ \d+ (?:[\w.]+:\d+\] )?")


@contextmanager
def log_kept(log: Path, folder: Path) -> Iterator[None]:
    """Where the block fails with a ServerError: keep the end of `log` in `folder`, and have the error say so.

    The error's `where` becomes the kept file, and its sentence tells the log's last error where it does not yet.
    """
    try:
        yield
    except ServerError as error:
        if Path(error.where).parent != folder and (copy := _keep(log, folder)):
            words = _PREFIX.sub("", last_words(log)).strip().strip('"')
            if words and words not in error.what:
                error.what = f"{error.what} (its log ends: {words})"
            if error.where and error.where != str(log):
                error.what = f"{error.where}: {error.what}"
            error.where = str(copy)
            if not error.do or "tritonpm " in error.do:  # whose commands know the workspace's own server only
                error.do = "look into that log"
            error.args = (error.what,)
        raise


def _keep(log: Path, folder: Path) -> Path | None:
    """The copy; None where there is nothing to keep, or no place: the error that was on its way matters more."""
    with suppress(OSError):
        end = tail(log, LONGEST)
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"bench-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06}.log"
        copy.write_bytes(end)
        for old in sorted(folder.glob("bench-*.log"), key=lambda path: path.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)
        return copy
    return None

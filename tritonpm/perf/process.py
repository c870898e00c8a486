"""perf_analyzer as a process: its deadline, its end, its table, and the sentence where it fails."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tritonpm.core.errors import ServerError

_DRAIN = 10.0  # seconds that an interrupted perf_analyzer has to clean up after itself
_LOG = re.compile(r"[IWE]\d{4} ")  # a line of gRPC's own log
_IDLE = "No valid requests recorded"


class IdleError(ServerError):
    """No request was answered within a window."""


def run(command: list[str], environment: dict[str, str], timeout: float, model: str) -> str:
    """What perf_analyzer says; it ends with us. Raises ServerError where it fails or does not end.

    No `preexec_fn`: with one Python forks, and gRPC's threads of our own clients then abort some of the children.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            _end(process)
            raise ServerError(f"perf_analyzer gave no result within {timeout:.0f} s", where=model) from None
        except BaseException:
            _end(process)
            raise
    if process.returncode:
        kind = IdleError if _IDLE in output else ServerError
        raise kind(f"perf_analyzer failed: {_reason(output, process.returncode)}", where=model)
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt, which lets it take its regions back; kill at the deadline."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_DRAIN)
        return
    process.kill()
    process.wait()  # `with` waits a quarter of a second only where Ctrl-C ends the block


def _reason(output: str, code: int) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not _LOG.match(line)]
    complaints = [line for line in lines if re.search(r"error|fail|unable|not |must|cannot", line, re.IGNORECASE)]
    return (complaints or lines or [f"it ended with code {code} and said nothing"])[-1].rstrip(".")


def table(path: Path, output: str, model: str) -> dict[str, str]:
    """The one row of perf_analyzer's table. Raises ServerError where it wrote none."""
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                return row
    raise ServerError(f"perf_analyzer wrote no result: {_reason(output, 0)}", where=model)

"""The regions of shared memory that perf_analyzer makes: machine-wide, and named for the tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError, ServerError
from tritonpm.perf.inputs import Row
from tritonpm.perf.tool import shared
from tritonpm.triton.failures import plainly

if TYPE_CHECKING:
    from tritonpm.triton.client import Client

_REGIONS = Path("/dev/shm")  # noqa: S108
_PATIENCE = 60.0  # seconds to wait for another measurement


def names(rows: Sequence[Row], outputs: Iterable[str]) -> list[str]:
    """How it names the regions of these inputs and outputs."""
    return [*(f"{name}_0_{step}" for step, row in enumerate(rows) for name in row), *outputs]


@contextmanager
def held(client: Client, wanted: Sequence[str]) -> Iterator[None]:
    """While the block runs these regions are ours alone; what a killed perf_analyzer left of them is taken back.

    Raises BusyError where somebody has one of that name.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(shared() / "shared-memory.lock", timeout=_PATIENCE):
            if taken := [name for name in wanted if (_REGIONS / name).exists()]:
                raise BusyError(
                    f"somebody uses the shared memory region {taken[0]!r}", where=client.where,
                    do="wait until they are done, or measure without shared memory",
                )  # fmt: skip
            try:
                yield
            finally:
                _take_back(client, wanted)
    except Timeout:
        raise BusyError("another measurement uses shared memory", do="wait until it is done") from None


def _take_back(client: Client, wanted: Sequence[str]) -> None:
    left = [name for name in wanted if (_REGIONS / name).exists() and (_REGIONS / name).stat().st_uid == os.getuid()]
    for name in left:
        # It may not be registered, and the server may be gone.
        with suppress(ServerError, NotFoundError), plainly(client.where, name, ServerError):
            client.raw.unregister_system_shared_memory(name)
        (_REGIONS / name).unlink(missing_ok=True)

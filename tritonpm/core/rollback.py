"""The way back after a change on the server that failed, and what to tell where even that could not be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tritonpm.core.errors import TritonpmError

UNKNOWN = "what the server serves now is not known: run `tritonpm sync` once it answers"


def undone(steps: Iterable[Callable[[], object]]) -> bool:
    """Take every step, also after one that failed; whether all were taken. The error before them is the one to tell."""
    failed = 0
    for step in steps:
        try:
            step()
        except TritonpmError:
            failed += 1
    return not failed

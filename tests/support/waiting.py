"""Waiting for what is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300.0  # seconds: long enough for a machine twenty times slower than ours
T = TypeVar("T")


def until(true: Callable[[], T], what: object = "", *, seconds: float = PATIENCE, every: float = 0.05) -> T:
    """What `true` gives as soon as it gives something true; `what` says in the failure what it was about."""
    deadline = time.monotonic() + seconds
    while not (result := true()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what() if callable(what) else what}"
        time.sleep(every)
    return result

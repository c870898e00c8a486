"""Threads that work beside a test, and are gone after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def working(works: Sequence[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    """Each in a thread of its own; at the end they are told by `stop`, and waited for."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()

"""Folders for what is under way: gone at the end, and by the next run where their owner was killed.

The owner holds a lock on the folder itself, which the kernel frees with the process: the number of a process may be
used again, by another one or in another container.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonpm.core.files import storage_error

_OURS = "tritonpm-"  # what the folders outside of workspaces begin with


@contextmanager
def scratch(parent: Path, what: str) -> Iterator[Path]:
    """A fresh folder in `parent`, named for `what` it is for, gone at the end whatever happens. Raises StorageError."""
    folder, held = _fresh(parent, what)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


@contextmanager
def temporary(what: str) -> Iterator[Path]:
    """As `scratch`, outside of any workspace, which may be read-only; what killed ones left there goes first."""
    parent = Path(tempfile.gettempdir())
    with suppress(OSError):
        sweep(parent, _OURS)
    with scratch(parent, _OURS + what) as folder:
        yield folder


def sweep(parent: Path, prefix: str = "") -> None:
    """Delete what killed processes left in a folder, and nothing that `scratch` did not make for this user."""
    for folder in parent.glob(f"{prefix}*-*-*"):
        if folder.name.rsplit("-", 2)[1].isdecimal():
            with suppress(OSError):  # its owner lives, has just deleted it, or is somebody else
                held = _hold(folder, fcntl.LOCK_NB)
                try:
                    if os.fstat(held).st_uid == os.geteuid():
                        shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(held)


def _fresh(parent: Path, what: str) -> tuple[Path, int]:
    """A folder and the descriptor that holds it, once no sweep took it before it was held."""
    try:
        parent.mkdir(exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f"{what}-{os.getpid()}-", dir=parent))
            with suppress(FileNotFoundError):
                held = _hold(folder)
                if folder.is_dir():
                    return folder, held
                os.close(held)
    except OSError as error:
        raise storage_error(error, parent) from None


def _hold(folder: Path, how: int = 0) -> int:
    """Lock a folder until the descriptor is closed or the process ends. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

"""What would run, in every form that something here could run: each leaves a file behind that says so."""

from __future__ import annotations

import io
import pickle
import py_compile
import subprocess
import tarfile
from pathlib import Path

from tests.support.archives import zipped

_LIBRARY = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void ran(void) { close(open("%s", O_CREAT | O_WRONLY, 0600)); }
"""
_PYTHON = """
open({canary!r}, "a").close()

class TritonPythonModel:
    def initialize(self, args): open({canary!r}, "a").close()
    def execute(self, requests): raise RuntimeError
"""


class _Pickled:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.canary, "w")


def payloads(canaries: Path, scratch: Path) -> dict[str, bytes]:
    """By kind; what runs leaves `canaries`/KIND."""
    return {
        "library": _library(canaries / "library", scratch),
        "python": python(canaries / "python"),
        "script": f"#!/bin/sh\ntouch '{canaries / 'script'}'\n".encode(),
        "bytecode": _bytecode(canaries / "bytecode", scratch),
        "pickle": pickle.dumps(_Pickled(str(canaries / "pickle"))),
        "old-pickle": pickle.dumps(_Pickled(str(canaries / "old-pickle")), 2),
        "egg": zipped([("__main__.py", python(canaries / "egg")), ("numpy.py", python(canaries / "egg"))]),
        "environment": environment(canaries / "environment"),
    }


def python(canary: Path) -> bytes:
    """A module, and a model.py."""
    return _PYTHON.format(canary=str(canary)).encode()


def environment(canary: Path) -> bytes:
    """What EXECUTION_ENV_PATH takes: its bin/activate is sourced."""
    out, script = io.BytesIO(), f"touch '{canary}'\n".encode()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("bin/activate")
        entry.size, entry.mode = len(script), 0o755
        archive.addfile(entry, io.BytesIO(script))
    return out.getvalue()


def _library(canary: Path, scratch: Path) -> bytes:
    (scratch / "ran.c").write_text(_LIBRARY % canary)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", scratch / "ran.so", scratch / "ran.c"], check=True)
    return (scratch / "ran.so").read_bytes()


def _bytecode(canary: Path, scratch: Path) -> bytes:
    (scratch / "ran.py").write_bytes(python(canary))
    return Path(str(py_compile.compile(str(scratch / "ran.py"), str(scratch / "ran.pyc")))).read_bytes()

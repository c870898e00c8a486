"""Our compiled backends: C++ against Triton's C interface, which call the runtimes that Python's packages bring.

Built by this machine's compiler when they are first needed, into the user's cache, or with the wheel. Where one does not
fit, the Python-based backend of the same name serves.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from tritonpm.core.errors import ServerError

VARIABLE = "TRITONPM_BACKENDS"
KINDS = ("python", "compiled")
SOURCES = Path(__file__).parents[1] / "backends" / "native"
FLAGS = ("-std=c++17", "-O2", "-g1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,--no-undefined-version")
_COMPILERS = ("c++", "g++", "clang++")
_COMPILES = 300.0  # seconds
_SHARED = ("backend", "json", "model", "requests", "runtime", "streams")
_OWN: Mapping[str, tuple[str, ...]] = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino", "openvino_file", "ir_layouts")}
# Where a runtime's package has its C library, and what says that it is built for GPUs, which only Python reaches here.
_RUNTIMES: Mapping[str, tuple[str, str, str]] = {
    "onnxruntime": ("onnxruntime", "capi/libonnxruntime.so.*", "capi/libonnxruntime_providers_cuda.so"),
    "openvino": ("openvino", "libs/libopenvino_c.so.*", ""),
}


@dataclass(frozen=True)
class Compiled:
    """A compiled backend, and the runtime's library that it calls."""

    library: Path
    runtime: Path

    def put(self, folder: Path) -> None:
        """Make `folder` the backend's."""
        folder.mkdir()
        shutil.copy2(self.library, folder)
        (folder / "runtime.so").symlink_to(self.runtime)


class _UnfitError(Exception):
    """Why the Python-based backend is taken."""


def chosen(name: str) -> Compiled | None:
    """The compiled backend of this name, None for the Python-based one.

    Raises ServerError where $TRITONPM_BACKENDS asks for compiled ones and this one does not fit.
    """
    wanted = os.environ.get(VARIABLE) or KINDS[0]
    if wanted not in KINDS:
        raise ServerError(f"there is no '{wanted}' kind of backends", where=f"${VARIABLE}", do=f"say {' or '.join(KINDS)}")
    if wanted == "python":
        return None
    try:
        return _compiled(name)
    except _UnfitError as reason:
        if name not in _RUNTIMES:
            return None
        raise ServerError(
            f"the compiled {name} backend does not run here: {reason}", where=f"${VARIABLE}", do="say python there"
        ) from None


def why_not(name: str) -> str:
    """Why a compiled backend of this name does not run here, "" where it does."""
    try:
        _compiled(name)
    except _UnfitError as reason:
        return str(reason)
    return ""


def _compiled(name: str) -> Compiled:
    if name not in _RUNTIMES:
        raise _UnfitError(f"there is none for {name}")
    return Compiled(_library(name), _runtime(name))


def _runtime(name: str) -> Path:
    package, library, for_gpus = _RUNTIMES[name]
    spec = util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _UnfitError(f"Python has no package {package}")
    root = Path(spec.submodule_search_locations[0])
    if for_gpus and (root / for_gpus).exists():
        raise _UnfitError(f"this {package} is built for GPUs, which the Python-based backend serves")
    found = sorted(root.glob(library))
    if not found:
        raise _UnfitError(f"this {package} has no {Path(library).name}")
    return found[-1]


@functools.cache
def _library(name: str) -> Path:
    file = f"libtriton_{name}.so"
    if (SOURCES / file).is_file():  # built with the wheel
        return SOURCES / file
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(root) / "tritonpm" / f"backends-{_digest()}"
    if not (place / file).is_file():
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="building-", dir=place) as scratch:
                made = build(name, Path(scratch))
                made.replace(place / file)
        except OSError as error:
            raise _UnfitError(f"it cannot be kept in {place} ({error.strerror})") from None
    return place / file


def _digest() -> str:
    content = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted([*SOURCES.glob("*.cc"), *SOURCES.glob("*.h")]):
        content.update(source.read_bytes())
    return content.hexdigest()[:16]


def build(name: str, folder: Path, *flags: str) -> Path:
    """Compile a backend into `folder`. Raises _UnfitError."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise _UnfitError("there is no C++ compiler here (Debian: apt-get install g++)")
    library = folder / f"libtriton_{name}.so"
    sources = [str(SOURCES / f"{source}.cc") for source in (*_SHARED, *_OWN[name])]
    command = [compiler, *FLAGS, *flags, *sources, "-o", str(library), "-ldl", "-pthread"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILES, check=False)
    except subprocess.TimeoutExpired:
        raise _UnfitError(f"{compiler} did not end within {_COMPILES:g} s") from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        complaint = next((line for line in lines if "error" in line), (lines or ["it said nothing"])[-1])
        raise _UnfitError(f"{compiler} cannot compile it ({complaint})")
    return library

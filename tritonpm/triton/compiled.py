"""Our compiled backends: C++ against Triton's C interface, which call the runtimes that Python's packages bring.

Built with the wheel, or by this machine's compiler into the user's cache when they are first needed. Where they cannot
run the Python-based backends of the same names serve.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from tritonpm.core.errors import ServerError

VARIABLE = "TRITONPM_BACKENDS"
KINDS = ("python", "compiled")
AUTO = "auto"  # compiled where they run here, python elsewhere
SOURCES = Path(__file__).parents[1] / "backends" / "native"
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
_COMPILERS = ("c++", "g++", "clang++")
_COMPILES = 900.0  # seconds
_SHARED = ("backend", "json", "model", "requests", "runtime", "streams")


@dataclass(frozen=True)
class _Backend:
    package: str  # of Python, which has the runtime
    library: str  # the runtime's C library in it
    sources: tuple[str, ...]
    for_gpus: str = ""  # a file that says that the package is built for GPUs, which only Python reaches here


_BACKENDS = {
    "onnxruntime": _Backend(
        "onnxruntime", "capi/libonnxruntime.so.*", ("onnxruntime",), "capi/libonnxruntime_providers_cuda.so"
    ),
    "openvino": _Backend("openvino", "libs/libopenvino_c.so.*", ("openvino", "openvino_file", "ir_layouts")),
}
NAMES = tuple(_BACKENDS)


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


class UnfitError(Exception):
    """Why a compiled backend does not run here, in words that follow a colon."""


def chosen(name: str) -> Compiled | None:
    """The compiled backend of this name, None where the Python-based one is to serve.

    Raises ServerError where $TRITONPM_BACKENDS asks for compiled ones and this one does not run here.
    """
    choice = wanted()
    if choice == "python" or name not in NAMES:
        return None
    try:
        return Compiled(_library(name), _runtime(name))
    except UnfitError as reason:
        if choice == AUTO:
            return None
        what = f"the compiled {name} backend does not run here: {reason}"
        raise ServerError(what, where=f"${VARIABLE}", do="set it to python") from None


def wanted() -> str:
    """What $TRITONPM_BACKENDS asks for: auto, python or compiled. Raises ServerError where it is none of them."""
    choice = os.environ.get(VARIABLE) or AUTO
    known = (AUTO, *KINDS)
    if choice not in known:
        allowed = ", ".join(known)
        raise ServerError(f"there are no {choice} backends", where=f"${VARIABLE}", do=f"set it to one of {allowed}")
    return choice


def kind(folder: Path) -> str:
    """What runs in a backend's folder of a server that was prepared: compiled, python, or native, which is its own."""
    if folder.is_symlink():
        return "native"
    return "compiled" if any(folder.glob("libtriton_*.so")) else "python"


def unbuilt(name: str) -> bool:
    """Whether `chosen` would have to compile it first."""
    return wanted() != "python" and not _built(name) and not why_not(name)


def why_not(name: str) -> str:
    """Why the compiled backend of this name would not run here, "" where it would; nothing is compiled for that."""
    try:
        _runtime(name)
        if not _built(name):
            _compiler()
    except UnfitError as reason:
        return str(reason)
    return ""


def _runtime(name: str) -> Path:
    backend = _BACKENDS[name]
    spec = util.find_spec(backend.package)
    if spec is None or not spec.submodule_search_locations:
        raise UnfitError(f"Python has no package {backend.package}")
    root = Path(spec.submodule_search_locations[0])
    if backend.for_gpus and (root / backend.for_gpus).exists():
        raise UnfitError(f"this {backend.package} is built for GPUs, which the Python-based backend serves")
    found = sorted(root.glob(backend.library))
    if not found:
        raise UnfitError(f"this {backend.package} has no {Path(backend.library).name}")
    return found[-1]


def _built(name: str) -> Path | None:
    """With the wheel, or in the cache."""
    return next((path for path in (SOURCES / _file(name), place() / _file(name)) if path.is_file()), None)


def _library(name: str) -> Path:
    if built := _built(name):
        return built
    _compiler()  # before a folder is made
    from filelock import FileLock

    kept = place() / _file(name)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            return kept if kept.is_file() else build(name, Path(scratch)).replace(kept)
    except OSError as error:
        raise UnfitError(f"it cannot be kept in {kept.parent} ({error.strerror})") from None


def _file(name: str) -> str:
    return f"libtriton_{name}.so"


def place() -> Path:
    """The folder of this user's cache where what these sources make is kept."""
    content = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted([*SOURCES.glob("*.cc"), *SOURCES.glob("*.h")]):
        content.update(source.read_bytes())
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tritonpm" / f"backends-{content.hexdigest()[:16]}"


def build(name: str, folder: Path, *flags: str) -> Path:
    """Compile a backend into `folder`. Raises UnfitError."""
    sources = [SOURCES / f"{source}.cc" for source in (*_SHARED, *_BACKENDS[name].sources)]
    return compile_library(sources, folder / _file(name), *flags)


def compile_library(sources: Sequence[Path], library: Path, *flags: str) -> Path:
    """Compile sources into a shared library. Raises UnfitError."""
    compiler = _compiler()
    command = [compiler, *FLAGS, *flags, *map(str, sources), "-o", str(library), "-ldl", "-pthread"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILES, check=False)
    except subprocess.TimeoutExpired:
        raise UnfitError(f"{compiler} did not end within {_COMPILES:g} s") from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        complaint = next((line for line in lines if "error" in line), (lines or ["it said nothing"])[-1])
        raise UnfitError(f"{compiler} cannot compile it ({complaint})")
    return library


def _compiler() -> str:
    if found := next(filter(None, map(shutil.which, _COMPILERS)), None):
        return found
    raise UnfitError("there is no C++ compiler here (Debian: apt-get install g++)")

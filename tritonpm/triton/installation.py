"""Finding a tritonserver on this machine. No process is started and no package of the carrier is imported."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from ctypes.util import find_library
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from tritonpm.core.environment import without_secrets
from tritonpm.core.errors import ServerError
from tritonpm.core.extras import install
from tritonpm.triton import compiled

CARRIER = "nvidia-pytriton"
CARRIED_VERSION = "2.51.0"  # of the tritonserver inside nvidia-pytriton 0.7.0
OPT = Path("/opt/tritonserver")
OF_IMAGE = "TRITON_SERVER_VERSION"  # the server's own version, as NVIDIA's images set it
VARIABLE = "TRITONPM_TRITONSERVER"


@dataclass(frozen=True)
class Installation:
    """A server's binary and what it needs beside it."""

    binary: Path
    source: str  # where it was found, for a person
    version: str  # "" where only the running server can tell
    libraries: Path | None = None  # for LD_LIBRARY_PATH
    backends: Path | None = None  # its own backend directory
    stub: Path | None = None  # the Python backend's stub for this Python, where it is not in `backends`
    caches: Path | None = None


def find(explicit: Path | None = None) -> Installation:
    """The server to run: named, `$TRITONPM_TRITONSERVER`, on PATH, in /opt/tritonserver, or carried by nvidia-pytriton.

    Raises ServerError, with how to get one.
    """
    named = explicit or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        if not (named.is_file() and os.access(named, os.X_OK)):
            where = "--tritonserver" if explicit else f"${VARIABLE}"
            raise ServerError(f"{named} is not an executable file", where=where, do="name the tritonserver binary")
        return _native(named, "named")
    if on_path := shutil.which("tritonserver"):
        return _native(Path(on_path), "on PATH")
    if (OPT / "bin/tritonserver").is_file():
        return _native(OPT / "bin/tritonserver", str(OPT))
    return _carried()


def _native(binary: Path, source: str) -> Installation:
    root = binary.resolve().parent.parent
    backends, libraries = root / "backends", root / "lib"
    return Installation(
        binary,
        source,
        os.environ.get(OF_IMAGE, "") if binary.resolve().is_relative_to(OPT) else "",
        libraries if libraries.is_dir() else None,
        backends if backends.is_dir() else OPT / "backends" if (OPT / "backends").is_dir() else None,
        caches=root / "caches" if (root / "caches").is_dir() else None,
    )


def _carried() -> Installation:
    spec = util.find_spec("pytriton")
    advice = f"install one with `{install('server')}` (Linux x86-64, Python 3.10 to 3.12)"
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("no tritonserver was found on this machine", do=f"{advice}, or name one in {VARIABLE}")
    package = Path(spec.submodule_search_locations[0])
    root = package / "tritonserver"
    stub = root / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}" / "triton_python_backend_stub"
    if not (root / "bin/tritonserver").is_file() or not stub.is_file():
        raise ServerError(f"{CARRIER} has no server for this Python", where=str(package), do=advice)
    require_libpython()
    version = metadata.version(CARRIER)
    return Installation(
        root / "bin/tritonserver",
        f"{CARRIER} {version}",
        CARRIED_VERSION if version == "0.7.0" else "",
        package.parent / "nvidia_pytriton.libs",
        root / "backends",
        stub,
        root / "caches",
    )


def _libpython() -> tuple[str, Path]:
    """The shared library of this Python, and the folder where its build says that it lies."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}"
    return name, Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")


def require_libpython() -> None:
    """The Python backend's stub needs it; without it the stub ends at once and every load would hang."""
    name, folder = _libpython()
    if not any(folder.glob(f"{name}.so*")) and not find_library(name.removeprefix("lib")):
        raise ServerError(
            f"this Python has no {name}.so, which Triton's Python backend needs",
            where=sys.executable,
            do=f"install it (Debian: apt-get install {name}), or use a Python that was built with --enable-shared",
        )


def environment(installation: Installation, arguments: Iterable[str] = ()) -> dict[str, str]:
    """The environment a server runs in: what it needs of this one, its libraries, this Python's programs and packages.

    Our own secrets are not in it, since what a package runs would read them, but those of an object store that the
    server's `arguments` name.
    """
    added = without_secrets(os.environ, arguments)
    scripts, packages = sysconfig.get_path("scripts"), sysconfig.get_path("purelib")
    _prepend(added, "PATH", scripts)
    _prepend(added, "PYTHONPATH", packages)
    name, folder = _libpython()
    if any(folder.glob(f"{name}.so*")):
        _prepend(added, "LD_LIBRARY_PATH", str(folder))
    if installation.libraries:
        _prepend(added, "LD_LIBRARY_PATH", str(installation.libraries))
    return added


def _prepend(variables: dict[str, str], name: str, value: str) -> None:
    variables[name] = f"{value}:{variables[name]}" if variables.get(name) else value


def to_compile(installation: Installation) -> list[str]:
    """Backends that `prepare_backends` would compile first, which takes seconds, once."""
    own = installation.backends
    return [name for name in compiled.NAMES if not (own and (own / name).exists()) and compiled.unbuilt(name)]


def prepare_backends(installation: Installation, folder: Path) -> Path:
    """Make `folder` the server's backend directory: its own backends first, ours where it has none of that name.

    Raises ServerError where compiled ones are asked for and do not run here.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for backend in sorted(installation.backends.iterdir()) if installation.backends else ():
        if not backend.is_dir():
            continue
        if backend.name == "python" and installation.stub:
            copied = shutil.copytree(backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy2(installation.stub, copied)
        else:
            (folder / backend.name).symlink_to(backend)
    ours = Path(__file__).parent.parent / "backends"
    for backend in sorted(path for path in ours.iterdir() if (path / "model.py").is_file()):
        if (folder / backend.name).exists():
            continue
        if library := compiled.chosen(backend.name):
            library.put(folder / backend.name)
        else:
            copied = shutil.copytree(backend, folder / backend.name, ignore=shutil.ignore_patterns("__pycache__"))
            for shared in ours.glob("*.py"):
                shutil.copy2(shared, copied)
    return folder

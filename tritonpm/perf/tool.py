"""The real perf_analyzer: where it is, what it lacks, and how it comes from PyPI.

PyPI has it in the wheel of perf-analyzer for systems that are new enough, and for others inside an older wheel of
tritonclient, which cannot be installed beside the one that we need. So the binary is put into a folder of the user's
cache, the older one with links of plain names to the two libraries that it wants and Debian lacks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from tritonpm.core.errors import NotFoundError
from tritonpm.core.extras import install as to_install
from tritonpm.core.files import storage_error

VARIABLE = "TRITONPM_PERF_ANALYZER"
GET = "tritonpm perf install"
_NAME = "perf_analyzer"
_PACKAGE = "perf-analyzer"  # on PyPI; its own command on PATH loses the exit code, so its binary is asked itself
_NONE = "0.0.0"  # what that binary says its version is


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI that holds the binary: what to ask for, its digest, where it lies, the glibc that it needs."""

    package: str
    version: str
    digest: str
    binary: str
    glibc: tuple[int, int]


WHEELS = (  # the newest first
    Wheel(
        _PACKAGE, "2.60.0", "sha256:23ef56b107ae9233e5cf09fbdf508dd9b936a52f1bae2f63f53c8117087b3f25",
        f"{_NAME}/bin/{_NAME}", (2, 38),
    ),
    Wheel(
        "tritonclient", "2.51.0", "sha256:c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52",
        f"bin/{_NAME}", (2, 17),
    ),
)  # fmt: skip
# The name that the binary asks for, and how it is named in nvidia-pytriton and in nvidia-cuda-runtime-cu12.
_LIBRARIES = {
    "libb64.so.0d": ("nvidia_pytriton.libs/libb64-*.so.0d",),
    "libcudart.so.12": ("nvidia_pytriton.libs/libcudart-*.so.12*", "nvidia/cuda_runtime/lib/libcudart.so.12"),
}
_SDK = Path("/workspace/install/bin") / _NAME  # of NVIDIA's SDK image
_SAY_VERSION = 20.0  # seconds
_DOWNLOAD = 600.0  # seconds


@dataclass(frozen=True)
class Tool:
    """perf_analyzer's binary, where it was found, its version, and what goes onto LD_LIBRARY_PATH."""

    binary: Path
    source: str
    version: str
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """This environment, with the tool's libraries after those that are named already."""
        return _environment(self.libraries)


def find() -> Tool:
    """The one that is named, on PATH, in NVIDIA's SDK image, or got from PyPI before; the first that runs.

    Raises NotFoundError with what each lacks, and how to get one.
    """
    lacking = []
    for binary, source, known in _candidates():
        version, reason = _version(binary)
        if version:
            return Tool(binary, source, known if version == _NONE else version, _libraries())
        lacking.append(f"{binary} does not run ({reason})")
    what = "; ".join(lacking) or "perf_analyzer is not on this machine"
    raise NotFoundError(what, do=f"get it with `{GET}`, work in NVIDIA's …-py3-sdk image, or name one in ${VARIABLE}")


def install() -> Tool:
    """Get the binary from PyPI into the user's cache, and link its libraries. Raises NotFoundError, StorageError."""
    from filelock import FileLock

    wheel = wheel_for(glibc())
    place = _cache(wheel)
    try:
        with (
            FileLock(shared() / "install.lock"),
            tempfile.TemporaryDirectory(prefix="getting-", dir=place.parent) as scratch,
        ):
            made = Path(scratch) / "made"
            (made / "lib").mkdir(parents=True)
            shutil.move(_downloaded(wheel, Path(scratch)), made / _NAME)
            _link_libraries(made / "lib")
            shutil.rmtree(place, ignore_errors=True)
            made.replace(place)
    except OSError as error:
        raise storage_error(error, place) from None
    version, reason = _version(place / _NAME)
    if not version:
        what = f"perf_analyzer was fetched and does not run ({reason})"
        raise NotFoundError(what, where=str(place), do=_remedy(reason))
    return Tool(place / _NAME, "from PyPI", wheel.version, _libraries())


def glibc() -> tuple[int, int]:
    """The version of this system's C library, (0, 0) of another than glibc."""
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        told = ""
    version = re.fullmatch(r"glibc (\d+)\.(\d+)", told)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def wheel_for(version: tuple[int, int]) -> Wheel:
    """The newest wheel whose binary runs with that glibc."""
    return next((wheel for wheel in WHEELS if wheel.glibc <= version), WHEELS[-1])


def _candidates() -> list[tuple[Path, str, str]]:
    """(binary, where it was found, its version where it does not say one itself), those that are there."""
    if named := os.environ.get(VARIABLE):
        return [(Path(named), f"${VARIABLE}", _NONE)]
    listed = [_installed(), (Path(shutil.which(_NAME) or ""), "on PATH", _NONE), (_SDK, "SDK image", _NONE)]
    listed += [(_cache(wheel) / _NAME, "from PyPI", wheel.version) for wheel in WHEELS]
    return [candidate for candidate in listed if candidate[0].is_file()]


def _installed() -> tuple[Path, str, str]:
    """The binary of PyPI's package, where that is installed beside us and has one."""
    spec = util.find_spec(_NAME)
    place = Path(spec.origin).parent / "bin" / _NAME if spec and spec.origin else Path()
    version = metadata.version(_PACKAGE) if place.is_file() else _NONE
    return place, f"of the package {_PACKAGE}", version


def _cache(wheel: Wheel) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tritonpm" / f"{wheel.package}-{wheel.version}"


def shared() -> Path:
    """A folder of this user, where measurements of all workspaces meet. Raises StorageError."""
    folder = _cache(WHEELS[0]).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from None
    return folder


def _libraries() -> Path | None:
    folder = _cache(WHEELS[-1]) / "lib"
    return folder if folder.is_dir() else None


def _environment(libraries: Path | None) -> dict[str, str]:
    paths = [os.environ.get("LD_LIBRARY_PATH", ""), str(libraries or "")]
    return dict(os.environ) | {"LD_LIBRARY_PATH": ":".join(path for path in paths if path)}


def _version(binary: Path) -> tuple[str, str]:
    """(version, "") of a binary that runs, ("", why not) of another."""
    try:
        ended = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_SAY_VERSION, check=False,
            env=_environment(_libraries()),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    version = re.search(r"Version (\S+)", ended.stderr + ended.stdout)
    if ended.returncode == 0 and version:
        return version[1], ""
    output = (ended.stderr or ended.stdout).strip().splitlines()
    return "", output[-1].removeprefix(f"{binary}: ") if output else f"it ended with code {ended.returncode}"


def _remedy(reason: str) -> str:
    if "libb64" in reason or "libcudart" in reason:
        return f"its libraries come with `{to_install('server')}`; then do it again"
    return "use NVIDIA's …-py3-sdk image"


def _downloaded(wheel: Wheel, scratch: Path) -> Path:
    """The binary out of a wheel, whose digest the installer checks. Raises NotFoundError."""
    wanted = f"{wheel.package}=={wheel.version}"
    (scratch / "wanted.txt").write_text(f"{wanted} --hash={wheel.digest}\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", "wheel"]
    command = [*_installer(), "install", *options, "-r", "wanted.txt"]
    try:
        ended = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_DOWNLOAD, check=False)
    except subprocess.TimeoutExpired:
        raise NotFoundError(f"PyPI gave no {wanted} within {_DOWNLOAD:g} s", do="try again") from None
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        complaint = next(
            (line for line in lines if line.lower().startswith("error")), (lines or ["it said nothing"])[-1]
        )
        raise NotFoundError(f"{wanted} could not be fetched from PyPI ({complaint})", do="use NVIDIA's …-py3-sdk image")
    binary = scratch / "wheel" / wheel.binary
    binary.chmod(0o755)
    return binary


def _installer() -> list[str]:
    if util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    raise NotFoundError("neither pip nor uv is here to fetch perf_analyzer", do="install pip into this environment")


def _link_libraries(folder: Path) -> None:
    """Links to what Python packages have; what is missing may still be the system's."""
    packages = Path(sysconfig.get_path("purelib"))
    for name, patterns in _LIBRARIES.items():
        paths = [path for pattern in patterns for path in sorted(packages.glob(pattern))]
        if paths:
            (folder / name).symlink_to(paths[0])

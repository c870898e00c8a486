"""The process in which pip makes a Python model's environment: `python -m tritonpm.convert.python_environment FOLDER`.

FOLDER/request.json names the requirements. What is made is an archive as conda-pack's, but of packages alone: sourcing
its bin/activate makes an environment of the server's own Python with these packages, wherever the archive is unpacked.
"""

from __future__ import annotations

import gzip
import json
import os
import runpy
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tritonpm.core import sandbox
from tritonpm.core.files import write_atomically

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PACKAGES = f"lib/python{PYTHON}/site-packages"
# The stub reads none of Python's variables: its packages are those of the python3 that is first on PATH. So this one
# becomes an environment of the Python that the server has, wherever that is.
_ACTIVATE = """# Triton's Python backend sources this before it starts the model.
_here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
_python="$(python3 -c 'import os, sys; print(os.path.realpath(sys._base_executable))')"
printf 'home = %s\\n' "$(dirname "$_python")" > "$_here/pyvenv.cfg.$$" && mv "$_here/pyvenv.cfg.$$" "$_here/pyvenv.cfg"
ln -s "$_python" "$_here/bin/python3.$$" && mv "$_here/bin/python3.$$" "$_here/bin/python3"
export PATH="$_here/bin:$PATH"
unset _here _python
"""
_SHEBANG = b"#!/usr/bin/env python3\n"
_LONGEST = 500  # characters of what pip says
_SMALL = 6  # of gzip: 9 takes three times as long for a hundredth


class EnvironmentRequest(msgspec.Struct, frozen=True):
    """What is asked for: the requirements, where the archive and the list of what is in it go; `memory` in bytes.

    `numpy` is the requirement of NumPy, without which no model of the Python backend starts.
    """

    requirements: str
    numpy: str
    archive: str
    lock: str
    memory: int


class EnvironmentAnswer(msgspec.Struct, frozen=True):
    """The packages as NAME==VERSION, or what pip refused them for."""

    packages: tuple[str, ...] = ()
    refused: str = ""


def made(request: EnvironmentRequest, folder: Path) -> EnvironmentAnswer:
    """Let pip install, and pack what it installed: the same packages make the same archive."""
    root, report = folder / "environment", folder / "report.json"
    os.chdir(Path(request.requirements).parent)  # what paths in it are relative to
    hashed = "--hash" in Path(request.requirements).read_text(errors="replace")  # then pip takes nothing beside it
    code = _pip([
        "install", "--requirement", request.requirements, *([] if hashed else [request.numpy]),
        "--only-binary", ":all:", "--target", str(root / _PACKAGES), "--report", str(report), "--no-compile",
        "--no-input", "--progress-bar", "off", "--disable-pip-version-check",
    ])  # fmt: skip
    if code:
        return EnvironmentAnswer(refused=_reason(folder / "worker.log") or f"pip ended with {code}")
    installed = json.loads(report.read_bytes())["install"]
    packages = sorted((_named(one), _locked(one)) for one in installed)
    numpy = next((name for name, _ in packages if name.startswith("numpy==")), "")
    if not numpy:
        return EnvironmentAnswer(refused="it names no numpy, without which no model starts")
    _, below, limit = request.numpy.partition("<")
    if below and int(numpy.removeprefix("numpy==").partition(".")[0]) >= int(limit):
        return EnvironmentAnswer(
            refused=f"it names {numpy}, and the server's Python backend takes {request.numpy} only"
        )
    _move_programs(root)
    (root / "bin/activate").write_text(_ACTIVATE)
    head = f"# What requirements.txt was built into, for Python {PYTHON} on {sysconfig.get_platform()}\n"
    Path(request.lock).write_text(head + "".join(f"{line}\n" for _, line in packages))
    _pack(root, Path(request.archive))
    return EnvironmentAnswer(packages=tuple(name for name, _ in packages))


def _pip(arguments: list[str]) -> int:
    """pip in this process, which has the limits; its exit code."""
    sys.argv = ["pip", *arguments]
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _reason(log: Path) -> str:
    """What pip says that is wrong, in one line."""
    lines = log.read_text(errors="replace").splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("ERROR: ")), len(lines))
    words = " ".join(line.strip().removeprefix("ERROR: ") for line in lines[first:] if line.strip())
    return words[:_LONGEST].rstrip(" .")


def _named(one: dict[str, Any]) -> str:
    return f"{one['metadata']['name']}=={one['metadata']['version']}"


def _locked(one: dict[str, Any]) -> str:
    """A line that gets the same again: of an index by its digest, of anywhere else by its address."""
    source = one["download_info"]
    digest = source.get("archive_info", {}).get("hashes", {}).get("sha256", "")
    if not one.get("is_direct"):
        return _named(one) + (f" --hash=sha256:{digest}" if digest else "")
    commit = source.get("vcs_info", {})
    url = f"{commit['vcs']}+{source['url']}@{commit['commit_id']}" if commit else source["url"]
    return f"{one['metadata']['name']} @ {url}" + (f" --hash=sha256:{digest}" if digest else "")


def _move_programs(root: Path) -> None:
    """Programs lie beside `activate`, and are run by whatever Python is first there."""
    (root / "bin").mkdir()
    for program in sorted((root / _PACKAGES / "bin").glob("*")):
        if program.is_file():
            head, line, rest = program.read_bytes().partition(b"\n")
            if line and head.startswith(b"#!") and b"python" in head:
                program.write_bytes(_SHEBANG + rest)
            program.rename(root / "bin" / program.name)
    shutil.rmtree(root / _PACKAGES / "bin", ignore_errors=True)


def _pack(root: Path, archive: Path) -> None:
    """Whoever packs it, and whenever: nothing but what is packed is in the archive."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.mode & 0o100 or entry.isdir() else 0o644
        return entry

    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", _SMALL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in _paths(root):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)


def _paths(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if "__pycache__" not in path.parts)


def main() -> None:
    """Answer the request in the folder named on the command line."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=EnvironmentRequest)
    sandbox.enter(request.memory)
    write_atomically(folder / "answer.json", msgspec.json.encode(made(request, folder)))


if __name__ == "__main__":
    main()

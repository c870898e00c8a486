"""Whether something of a package ran, by what the kernel was asked for: strace follows every process there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.environments import put_backends

_CALLS = (
    "execve,execveat,open,openat,openat2,creat,mmap,truncate,unlink,unlinkat,rmdir,mkdir,mkdirat,rename,renameat,"
    "renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,chmod,fchmod,fchmodat,chown,fchown,fchownat,setxattr,chdir"
)
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+)(.*)")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_MAPPED = re.compile(r"(?:PROT_\w+\|)*PROT_EXEC[^,]*, [^,]*, \d+<([^>]*)>")
_OPENED = re.compile(r"^\d+<([^>]*)>")
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)")
_ANYWHERE = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/", "/dev/pts/", "anon_inode", "pipe:", "socket:", "/memfd:")


_SCRATCH = re.compile(
    r"/tmp/python_env_\w{6}"
)  # an empty folder that Triton's Python backend makes, there and nowhere else


@dataclass(frozen=True)
class Traced:
    """What came of each package, and everything that should not have happened."""

    outcomes: Mapping[str, str]
    escapes: tuple[str, ...]
    written: tuple[str, ...]  # files of model folders, of packages that may run no code
    calls: int  # that were looked at


def traced(root: Path, packages: Mapping[str, Path], trusted: tuple[str, ...] = ()) -> Traced:
    """Import and serve `packages` under the tracer; `root` holds canaries/, and becomes all that may be written to."""
    for name in ("tmp", "home", "canaries", "trace"):
        (root / name).mkdir(exist_ok=True)
    put_backends(root / "home")
    wanted = {"packages": {name: str(path) for name, path in packages.items()}, "trusted": trusted}
    (root / "in.json").write_text(json.dumps(wanted))
    command = ["strace", "-ff", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", root / "trace/t"]
    environment = {
        **os.environ, "TMPDIR": str(root / "tmp"), "HOME": str(root / "home"), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }  # fmt: skip
    (root / "workspace").mkdir(exist_ok=True)
    module = [sys.executable, "-m", "tests.support.hostile.run", str(root)]
    ended = subprocess.run(
        [*command, *module], env=environment, cwd=root / "workspace", capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise AssertionError(f"the traced run ended with {ended.returncode}: {ended.stderr[-3000:]}")
    escapes, calls = [], 0
    for file in sorted((root / "trace").iterdir()):
        for line in file.read_text(errors="replace").splitlines():
            calls += 1
            if escape := _escape(line, root.resolve()):
                escapes.append(escape)
    escapes += [f"ran: {path.name}" for path in (root / "canaries").iterdir()]
    came = json.loads((root / "out.json").read_text())
    return Traced(came["outcomes"], tuple(dict.fromkeys(escapes)), tuple(came["written"]), calls)


def _escape(line: str, root: Path) -> str:
    """What a call did that it should not; "" for the others."""
    call = _LINE.match(line)
    if not call or call[3].startswith("-"):
        return ""
    name, arguments = call[1], call[2]
    if name == "mmap":
        mapped = _MAPPED.search(arguments)
        return f"mapped executable: {mapped[1]}" if mapped and _is_package(mapped[1], root) else ""
    paths = [_whole(*match.groups()) for match in _PATH.finditer(arguments)]
    if name in ("execve", "execveat"):
        return f"executed: {paths[0]}" if paths and _is_package(paths[0], root) else ""
    if name == "chdir" and not paths[0].startswith(f"{root}/"):
        return f"works in {paths[0]}"  # else a relative path is one in the workspace, unless it leads up
    if name in ("open", "openat", "openat2") and not _WRITING.search(arguments):
        return ""
    if name in ("link", "linkat", "symlink", "symlinkat"):
        paths = paths[-1:]  # what a link leads to stays as it is
    paths += _OPENED.findall(arguments) if name in ("fchmod", "fchown") else []
    outside = [path for path in paths if path.startswith(("/", "..")) and not _may_change(path, root)]
    return f"{name}: {outside[0]}" if outside else ""


def _whole(folder: str | None, path: str) -> str:
    return os.path.normpath(Path(folder or "", path))


def _is_package(path: str, root: Path) -> bool:
    """Whether a file came from a package, or lies where one lured to; the server's backends are copies of ours."""
    return path.startswith(f"{root}/") and not path.startswith(f"{root}/workspace/.tritonpm/server/backends/")


def _may_change(path: str, root: Path) -> bool:
    ours = tuple(f"{root}/{name}" for name in ("workspace", "tmp", "home", "out.json"))
    return path.startswith((*_ANYWHERE, *ours)) or _SCRATCH.fullmatch(path) is not None

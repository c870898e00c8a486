"""No room, no inodes, or a disk that fails at fsync, at every write of every command: a sentence, and all is as it was, or done."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consistency import consistent
from tests.support.disks import can_mount
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, publish
from tritonpm.core.exit_codes import CODES
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.set import change

FAULTS = int(os.environ.get("TRITONPM_KILLS", "11"))  # for each way in which a disk has no room, over all commands
NEVER = 1 << 30
ROOM = 180_000  # bytes that are enough for all that any of these commands writes
NODES = 20  # files and folders that are
OF_ITS_OWN = ("full", "nodes")  # ways that need a disk of their own
COMMANDS = {
    "import": ["import", "other"],
    "publish": ["publish"],
    "set": ["set", "p", "--max-batch-size", "5"],
    "rename": ["rename", "p", "q"],
    "upgrade": ["upgrade", "p", "second"],
    "rollback": ["rollback", "p", "1"],
    "prune": ["prune", "p", "--keep", "1"],
    "export": ["export", "p", "--output", "p.zip"],
    "render": ["render", "p", "--output", "rendered"],
    "remove": ["remove", "p"],
    "optimise": ["optimize", "p", "--precision", "fp16", "--no-compare"],
}
# In a fresh copy of the workspace each: the command, with the fault at its n-th chance; the exit code, what was said on
# standard error, and how many chances there were.
RUN = """
import contextlib, errno, io, json, os, resource, shutil, signal, subprocess, sys, traceback
from pathlib import Path
from tests.support.workspaces import opened, publish
from tritonpm.cli.main import main
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.local_repository import changing

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
place, way, done, sync = Path(sys.argv[1]), sys.argv[2], [], os.fsync
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
if way in ("full", "nodes"):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=4096", "tmpfs", str(place / "disk")], check=True)

def published():
    try:
        context = opened(Path("ws"))
        with changing(context, "publish"):
            publish(context, "p")
    except TritonpmError as error:
        print("Error:", error, file=sys.stderr)
        sys.exit(1)
    sys.exit(0)

@contextlib.contextmanager
def failing(chance, chances):
    def fsync(descriptor):
        chances[0] += 1
        if chances[0] == chance:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)
    os.fsync = fsync
    yield
    os.fsync = sync

@contextlib.contextmanager
def small(size, chances):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

@contextlib.contextmanager
def full(room, chances):
    disk, filler = os.statvfs(place / "disk"), place / "disk/filler"
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(4096, disk.f_bavail * disk.f_frsize - room))
    yield
    filler.unlink()

@contextlib.contextmanager
def nodes(room, chances):
    free, filler = os.statvfs(place / "disk").f_favail, place / "disk/filler"
    filler.mkdir()
    for number in range(free - 1 - room):
        os.mknod(filler / str(number))
    yield
    shutil.rmtree(filler)

faults = {"sync": failing, "small": small, "full": full, "nodes": nodes}
for number, (command, chance) in enumerate(json.loads(sys.argv[3])):
    folder = place / "disk" / f"{number}"
    shutil.copytree(place.parent / "template", folder)
    os.chdir(folder)
    sys.argv, out, err, chances, code = ["tritonpm", *command, "-w", "ws"], io.StringIO(), io.StringIO(), [0], None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), faults[way](chance, chances):
        try:
            published() if command == ["publish"] else main()
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            err.write("BUG " + "".join(traceback.format_exception(error)))
    done.append((code, err.getvalue(), chances[0]))
    os.chdir(place)
    shutil.move(folder, place / f"{number}")
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a package of three revisions, the last of them not published yet, and packages to come."""
    folder = tmp_path_factory.mktemp("a place") / "template"
    folder.mkdir()
    init(folder / "ws")
    context = opened(folder / "ws")
    for name, factor in (("first", 2.0), ("second", 3.0), ("other", 5.0)):
        made = single(folder / name, scaled(factor), name="p" if name != "other" else "other")
        (made / "notes.bin").write_bytes(random.Random(factor).randbytes(100_000))
    import_package(context, folder / "first")
    for size in (8, 4, 2):
        change(context, "p", {"max_batch_size": size})
        publish(context, "p")
    change(context, "p", {"max_batch_size": 3})
    context.catalogue.close()
    return folder


def state(place: Path) -> dict[str, object]:
    """What the catalogue and the folders of a user say."""
    context = opened(place / "ws")
    consistent(context)
    known: dict[str, object] = {}
    for entry in packages(context.catalogue):
        record = context.catalogue.get(entry.name)
        history = [(each.number, each.revision.digest, each.current) for each in context.catalogue.history(entry.name)]
        known[entry.name] = (record.package, record.settings, history)
    context.catalogue.close()
    mine = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and "ws" not in path.parts}
    return {"packages": known, "files": mine}


def ran(
    template: Path, way: str, faults: list[tuple[str, int]]
) -> Iterator[tuple[str, int, dict[str, object], int | None, str, int]]:
    """Of each (command, chance): these two, what is there then, the exit code, what was said, and the chances."""
    place = Path(tempfile.mkdtemp(dir=template.parent))
    (place / "disk").mkdir()
    told = json.dumps([(COMMANDS[name], chance) for name, chance in faults])
    space = ("unshare", "--mount") if way in OF_ITS_OWN else ()
    done = subprocess.run(
        [*space, sys.executable, "-c", RUN, str(place), way, told], capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    for number, ((name, chance), result) in enumerate(zip(faults, json.loads(done.stdout), strict=True)):
        yield name, chance, state(place / str(number)), *result
        shutil.rmtree(place / str(number))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["sync", "small", *(OF_ITS_OWN if can_mount() else [])])
def test_a_disk_that_fails_at_any_write_leaves_old_or_new(template: Path, way: str) -> None:
    before = state(template)
    after, chances = {}, {}
    for name, _, found, code, error, syncs in ran(template, way, [(name, NEVER) for name in COMMANDS]):
        assert code == 0, (name, error)
        after[name], chances[name] = found, syncs
    if way == "sync":
        faults = [(name, chance + 1) for name in COMMANDS for chance in range(chances[name])]
    else:
        dice, names = random.Random(2), sorted(COMMANDS)
        most = NODES if way == "nodes" else ROOM
        faults = [(names[number % len(names)], dice.randrange(most)) for number in range(FAULTS)]
    wrong, told = [], 0
    for name, chance, found, code, error, _ in ran(template, way, faults):
        sentence = code == 0 or (code in CODES and error.startswith("Error: ") and error.count("\n") == 1)
        if not sentence or not (found == after[name] or (code and found == before)):
            wrong.append((name, chance, code, error, found == before, found == after[name]))
        told += bool(code)
    assert wrong == []
    assert told
    print(f"{len(faults)} faults ({way}), {told} sentences, nothing half")

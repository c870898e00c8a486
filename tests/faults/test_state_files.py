"""What tritonpm keeps for itself is deleted, emptied, garbled, a folder, a link or a pipe.

A command works or says a sentence; it neither hangs nor loses anything, and where the file is put back all is as it was.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forked import run_forked
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, publish
from tritonpm.core.exit_codes import CODES
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.use import use

READING = "list|status|verify|jobs|projects|context list|policy|logs|show bolts|history bolts|plan|why bolts"
CHANGING = "set bolts --priority 1|import more|use bolts line-4|load bolts|stop|sync|doctor --fix|init"
PLACES = (
    "model_repository", "policy.yaml", ".tritonpm/blobs", ".tritonpm/blobs/sha256", ".tritonpm/BLOB",
    ".tritonpm/catalogue.sqlite", ".tritonpm/catalogue.sqlite-wal", ".tritonpm/contexts.json", ".tritonpm/jobs",
    ".tritonpm/lock", ".tritonpm/lock.owner", ".tritonpm/logs", ".tritonpm/policy.json", ".tritonpm/quarantine",
    ".tritonpm/records", ".tritonpm/records/bolts.json", ".tritonpm/server", ".tritonpm/server/server.json",
    ".tritonpm/server/supervisor.lock", ".tritonpm/server/triton.log", ".tritonpm/staging", "tritonpm.lock",
)  # fmt: skip


def gone(place: Path) -> None:
    """Delete whatever lies there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(place: Path) -> None:
        gone(place)
        make(place)

    return damage


def emptied(place: Path) -> None:
    was_folder = place.is_dir()
    gone(place)
    place.mkdir() if was_folder else place.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": gone,
    "emptied": emptied,
    "garbled": instead(lambda place: place.write_bytes(random.Random(7).randbytes(3000))),
    "another document": instead(lambda place: place.write_text('[{"pid": "x", "started": 1e999}]')),
    "a folder": instead(lambda place: place.mkdir()),
    "a link to nothing": instead(lambda place: place.symlink_to("/nowhere/at/all")),
    "a link to itself": instead(lambda place: place.symlink_to(place.name)),
    "a pipe": instead(os.mkfifo),
}
# Each place with one damage, in turn; all of them in `script/faults`.
CASES = [
    (place, list(DAMAGES)[(number + more) % len(DAMAGES)])
    for number, place in enumerate(PLACES)
    for more in range(len(DAMAGES) if os.environ.get("TRITONPM_CORPUS") == "1" else 1)
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all of these files."""
    root = tmp_path_factory.mktemp("whole") / "workspace"
    init(root)
    context = opened(root)
    for factor, name in enumerate(("bolts", "nuts"), 2):
        import_package(context, single(root / name, scaled(float(factor)), name))
        publish(context, name)
    single(root / "more", scaled(5.0), "more")
    use(context, "bolts", "line-3", 6000)
    context.catalogue.close()
    state = root / ".tritonpm"
    for folder in ("server", "jobs", "logs", "quarantine"):
        (state / folder).mkdir(exist_ok=True)
    for file in ("server/triton.log", "server/server.json", "server/supervisor.lock", "lock"):
        (state / file).touch()
    commands = (["context", "add", "prod", "--url", "http://127.0.0.1:1"], ["declare"], ["policy", "clear"])
    (_, declared, _) = (printed for code, printed in run_forked(commands, root) if code == 0)
    (root / "tritonpm.yaml").write_text(declared)
    (root / "tritonpm.lock").write_text("{}")
    return root


def place_of(root: Path, named: str) -> Path:
    return next(root.glob(".tritonpm/blobs/sha256/*/*")) if named.endswith("BLOB") else root / named


def files(root: Path) -> dict[str, bytes]:
    """What a person would miss."""
    kept = (root / "model_repository", root / ".tritonpm/blobs", root / ".tritonpm/records")
    return {str(p.relative_to(root)): p.read_bytes() for k in kept for p in sorted(k.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("named", "damage"),
    [pytest.param(*case, marks=[pytest.mark.long] if number % 4 else []) for number, case in enumerate(CASES)],
)
def test_a_command_works_or_says_why(whole: Path, tmp_path: Path, named: str, damage: str) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(whole, root, symlinks=True)
    place = place_of(root, named)
    before = files(root)
    DAMAGES[damage](place)
    for commands in (READING, CHANGING):
        typed = [line.split() for line in commands.split("|")]
        for command, (code, printed) in zip(typed, run_forked(typed, root), strict=True):
            assert code in CODES, (command, printed)
            assert "Traceback" not in printed, (command, printed)
            assert code == 0 or "Error: " in printed, (command, printed)
    original = place_of(whole, named)
    if not (original.is_dir() and place.is_dir() and not place.is_symlink()):
        gone(place)
    if original.is_dir():  # beside what has come since: the import's blob
        shutil.copytree(original, place, symlinks=True, dirs_exist_ok=True)
    elif original.exists():
        shutil.copy2(original, place)
    (mended, listed, verified) = run_forked([["doctor", "--fix"], ["list"], ["verify"]], root)
    assert mended[0] == listed[0] == verified[0] == 0, (mended, listed, verified)
    assert {"bolts", "nuts"} <= set(listed[1].split())
    after = files(root)
    assert {path for path in before if path not in after} == set()

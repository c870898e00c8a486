"""A workspace that may only be read: what only reads works, what writes says one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.disks import can_mount
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, publish
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.set import change

# Root writes wherever it likes, unless this right is taken from it.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'  # gone with the command's namespace
READING = (
    "list", "list -o json", "show p", "history p", "diff p 1", "status", "jobs", "projects", "verify",
    "plan -f tritonpm.yaml", "declare", "render p --output OUT", "export p --output OUT/p.zip", "doctor",
    "lint ws/model_repository", "inspect in/m.onnx",
)  # fmt: skip
WRITING = (
    "import other", "set p --max-batch-size 5", "rename p q", "remove p", "upgrade p other", "rollback p 1", "prune p",
    "use p --project LINE-3", "optimize p --precision fp16", "apply -f tritonpm.yaml", "doctor --fix", "serve --detach",
    "doctor --rebuild-catalogue", "load p", "unload p", "stop", "sync",
)  # fmt: skip
# One process for all of them: starting Python thirty times takes longer than what is tested.
EACH = """
import contextlib, io, json, sys
from tritonpm.cli.main import main
done = []
for command in json.loads(sys.argv[1]):
    sys.argv, out, err = ["tritonpm", *command], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            done.append((end.code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


@contextmanager
def read_only(root: Path, way: str) -> Iterator[tuple[str, ...]]:
    """A prefix of commands for which nothing below `root` can be written."""
    if way == "mount":
        yield ("unshare", "--mount", "sh", "-c", MOUNTED, str(root))
        return
    places = [root, *root.rglob("*")]
    modes = [(place, place.stat().st_mode) for place in places]
    for place, mode in modes:
        place.chmod(mode & ~0o222)
    try:
        yield WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    finally:
        for place, mode in modes:
            place.chmod(mode)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, and a workspace of one package with two revisions."""
    folder = tmp_path_factory.mktemp("a place")
    init(folder / "ws")
    context = opened(folder / "ws")
    import_package(context, single(folder / "in", scaled(2.0)))
    publish(context, "p")
    change(context, "p", {"max_batch_size": 3})
    publish(context, "p")
    context.catalogue.close()
    context.workspace.server.mkdir()
    single(folder / "other", scaled(3.0), name="other")
    text = "packages:\n  p: {source: in, loaded: false}\n  other: {source: other}\n"
    (folder / "tritonpm.yaml").write_text(text)
    return folder


def ran(
    place: Path, prefix: tuple[str, ...], commands: tuple[str, ...], out: Path
) -> Iterator[tuple[str, int, str, str]]:
    """(command, exit code, standard output, standard error) of each."""
    told = [[*each.replace("OUT", str(out)).split(" "), "-w", "ws"] for each in commands]
    command = [*prefix, sys.executable, "-c", EACH, json.dumps(told)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for asked, (code, output, error) in zip(commands, json.loads(done.stdout), strict=True):
        yield asked, code, output, error


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.long
@pytest.mark.parametrize("way", ["modes", *([pytest.param("mount", marks=pytest.mark.long)] if can_mount() else [])])
def test_what_reads_works_and_what_writes_is_a_sentence(place: Path, tmp_path: Path, way: str) -> None:
    before = snapshot(place / "ws")
    with read_only(place / "ws", way) as prefix:
        read = list(ran(place, prefix, READING, tmp_path / "out"))
        refused = list(ran(place, prefix, WRITING, tmp_path))
    for command, code, output, error in read:
        assert (code, error.startswith("Error")) == (0, False), (command, error)
        assert output, command
    said = {command: output for command, _, output, _ in read}
    assert "import  other" in said["plan -f tritonpm.yaml"]
    for command, code, _, error in refused:
        expected = 6 if "no server" in error else 7
        assert (code, error.count("\n")) == (expected, 1), (command, error)
    assert snapshot(place / "ws") == before
    assert (tmp_path / "out/p/config.pbtxt").is_file()


def test_a_reader_without_rights_sees_what_a_writer_has_just_written(place: Path, tmp_path: Path) -> None:
    context = opened(place / "ws")
    context.catalogue.set_status("p", "failed", "as the writer says")
    with read_only(place / "ws", "modes") as prefix:
        ((_, code, output, error),) = ran(place, prefix, ("show p",), tmp_path)
    assert code == 0, error
    assert "as the writer says" in output
    context.catalogue.set_status("p", "ready")
    context.catalogue.close()
    assert {path.name for path in (place / "ws/.tritonpm").glob("catalogue.sqlite*")} == {"catalogue.sqlite"}

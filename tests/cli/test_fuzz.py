"""Every command with whatever may be typed: a sentence and an exit code that is known, and after a refusal all is as it was.

`TRITONPM_EXAMPLES=N` types N command lines for each command, of another seed each time.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import click
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.command import every_command
from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.typed import command_line
from tests.support.workspaces import opened, publish
from tritonpm.cli.app import cli
from tritonpm.cli.main import main
from tritonpm.core.exit_codes import CODES
from tritonpm.core.text import UNSEEN
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init

EXAMPLES = int(os.environ.get("TRITONPM_EXAMPLES", "0"))
# These work for long, serve, or ask a network once they find a workspace: they are typed where there is none.
WITHOUT_WORKSPACE = {
    "serve",
    "ui",
    "optimize",
    "tune",
    "perf",
    "profile",
    "jobs",
    "top",
    "convert",
    "fleet",
    "deploy",
    "mcp",
}
LEFT_OUT = {
    ("perf", "install"),
    ("run",),
}  # asks a package registry; serves, in a workspace that it makes. Both need none
NEVER = frozenset({"workspace", "follow", "debug", "help", "install"})
# Of what is refused it is recorded that it was asked for.
RECORD = ('INSERT INTO "audit"', 'INSERT INTO "outcomes"', "INSERT INTO \"sqlite_sequence\" VALUES('audit'")
NAMES = ("one", "two", "one-canary", "nobody")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two packages, one of them published, and files to name."""
    place = tmp_path_factory.mktemp("typed")
    init(place / "ws")
    context = opened(place / "ws")
    import_package(context, single(place / "in", scaled(2.0), "one"))
    import_package(context, cascade(place / "c", scaled(2.0, result="m"), scaled(3.0, source="m"), "two"))
    publish(context, "one")
    context.catalogue.close()
    (place / "garbage").write_bytes(bytes(range(256)) * 4)
    (place / "empty").touch()
    (place / "list.yaml").write_text("- 1\n- {a: [}\n")
    (place / "declaration.yaml").write_text("packages: {one: {source: in, settings: {max_batch_size: 0}}}\n")
    return place


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(template, tmp_path / "t")
    monkeypatch.chdir(tmp_path / "t")
    return tmp_path / "t"


def state(workspace: Path) -> dict[str, object]:
    """All that a workspace holds, but for what SQLite keeps beside it, locks, and empty folders."""
    files = {
        str(path.relative_to(workspace)): path.read_bytes()
        for path in workspace.rglob("*")
        if path.is_file() and "sqlite" not in path.name and not path.name.endswith(".lock") and path.name != "lock"
    }
    with contextlib.closing(sqlite3.connect(workspace / ".tritonpm/catalogue.sqlite")) as database:
        dump = [line for line in database.iterdump() if not line.startswith(RECORD)]
        return {**files, "catalogue": dump}


def typed(line: list[str], workspace: Path) -> tuple[object, str, str]:
    output, errors, code = io.StringIO(), io.StringIO(), None
    with (
        patch.object(sys, "argv", ["tritonpm", *line]),
        patch.dict(os.environ, {"TRITONPM_WORKSPACE": str(workspace)}),
        patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return code, output.getvalue(), errors.getvalue()


def commands() -> Iterator[tuple[str, ...]]:
    for path in every_command():
        if not isinstance(command_of(path), click.Group) and path not in LEFT_OUT:
            yield path


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    with click.Context(cli) as context:
        for name in path:
            assert isinstance(command, click.Group)
            found = command.get_command(context, name)
            assert found is not None
            command = found
    return command


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_whatever_is_typed_is_a_sentence(path: tuple[str, ...], place: Path) -> None:
    workspace = place / ("nowhere" if path[0] in WITHOUT_WORKSPACE else "ws")
    paths = [
        place / name for name in ("in", "in/m.onnx", "garbage", "empty", "list.yaml", "declaration.yaml", "none/x")
    ]
    before, command = state(place / "ws"), command_of(path)
    readable = any("--format" in param.opts for param in command.params)

    @settings(
        max_examples=EXAMPLES or 8, derandomize=not EXAMPLES, database=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(command_line(command, NAMES, paths, NEVER), st.sampled_from(["", "json"]))
    def type_it(line: list[str], form: str) -> None:
        nonlocal before
        code, output, errors = typed([*path, *line, *(["-o", form] if form and readable else [])], workspace)
        assert code in CODES, (line, code)
        if code:
            assert re.fullmatch(r"Error: .+", errors.splitlines()[-1]), errors
        assert not re.search(f"(?![\n\t])[{UNSEEN}]", output + errors), (output, errors)
        after = state(place / "ws")
        assert code == 0 or after == before, line
        before = after

    type_it()


def test_what_was_typed_once(place: Path) -> None:
    """Lines that ended in a traceback, or bricked the workspace."""
    for line in (
        ["show", "\udcff"],
        ["set", "one", "--tolerance", "max_abs=inf"],
        ["set", "one", "--tolerance", "max_abs=1e400"],
        ["set", "one", "--tolerance", "cosine=nan"],
        ["set", "one", "--tolerance", "max_abs=-1"],
        ["set", "one", "--queue-delay-us", str(1 << 63)],
        ["set", "one", "--queue-delay-us", str((1 << 63) - 1)],
        ["set", "one", "--threads", "4000"],
        ["set", "one", "--mode", "performance", "--instances", "64", "--threads", "1000"],
        ["set", "one", "--version-policy", "latest:" + "9" * 5000],
        ["set", "one", "--parameter", "a=\x1b[2J"],
        ["set", "one", "--parameter", "a=" + "x" * 5000],
        ["jobs", "follow", "1" + "0" * 23],
        ["rollback", "one", "1" + "0" * 23],
        ["use", "one", "--project", "x" * 300],
        ["use", "one", "--project", "x", "--ttl", "nan"],
        ["apply", "declaration.yaml", "--server-timeout", "-inf"],
        ["load", "one", "--server", "http://127.0.0.1:9", "--wait", "nan"],
        ["stop", "--timeout", "1e9"],
        ["rename", "one", "x" * 65],
        ["rename", "one", "\udcff"],
        ["unload", "\udcff"],
        ["canary", "one", "file://"],
    ):  # fmt: skip
        before = state(place / "ws")
        code, _, errors = typed(line, place / "ws")
        assert code in CODES - {0}, (line, errors)
        assert re.fullmatch(r"Error: [^\n]+\n", errors), (line, errors)
        assert "corrupt" not in errors
        assert state(place / "ws") == before
    assert typed(["verify"], place / "ws")[0] == 0

"""The docs are true: files that are named are there, verbs are where they are said to be, commands and keys are as told."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tritonpm.cli.app import COMMANDS, cli
from tritonpm.core.exit_codes import KINDS
from tritonpm.core.user_config import KEYS as CONFIG_KEYS
from tritonpm.operations.artefacts import OptimisationView
from tritonpm.operations.client import ClientCode
from tritonpm.operations.fleet.place import PackagePlan, ServerPlan
from tritonpm.operations.fleet.roll_out import RolledOut
from tritonpm.operations.fleet.status import FleetView, ServerView
from tritonpm.operations.history import RevisionView
from tritonpm.operations.infer import InferenceView, TensorView
from tritonpm.operations.optimize.jobs import JobView
from tritonpm.operations.remote_repository import StoredPackage
from tritonpm.operations.run import Run
from tritonpm.operations.serve import ServerAddresses
from tritonpm.operations.show import PackageDetails, StageView
from tritonpm.operations.status import ModelView, StatusView
from tritonpm.operations.verify import Damage

ROOT = Path(__file__).parents[1]
CODE = ROOT / "tritonpm"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
VERBS = next(part for part in PAGE.split("\n\n") if part.startswith("Verbs whose file has another name"))
NAMED = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)
KEYS = set(re.findall(r"`(\w+)`", (ROOT / "docs/json.md").read_text(encoding="utf-8")))
VIEWS = (
    PackageDetails, StageView, OptimisationView, StatusView, ModelView, RevisionView, JobView, ServerAddresses,
    InferenceView, TensorView, StoredPackage, Damage, FleetView, ServerView, RolledOut, PackagePlan, ServerPlan,
    Run, ClientCode,
)  # fmt: skip


@pytest.mark.parametrize("path", sorted({*NAMED} - {"operations/VERB.py", "cli/commands/VERB.py"}))
def test_a_named_file_is_there(path: str) -> None:
    assert any((base / path).exists() for base in (ROOT, CODE, CODE / "operations"))


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_is_in_the_file_of_its_name_or_the_page_says_where(verb: str) -> None:
    own = CODE / "operations" / f"{verb}.py"
    assert own.exists() or f"`{verb}`" in VERBS


@pytest.mark.parametrize(("path", "name"), re.findall(r"`([\w/]+\.py)` \(`(\w+)`", PAGE))
def test_a_named_definition_is_in_its_file(path: str, name: str) -> None:
    assert re.search(rf"(?m)^ *(?:def |)(?:\w+, )*{name}\b", (CODE / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("view", VIEWS)
def test_docs_json_names_every_key(view: type) -> None:
    assert {field.name for field in dataclasses.fields(view)} <= KEYS


def test_the_exit_codes_are_told() -> None:
    rows = [f"| {code} | {words} |" for code, words, _ in KINDS]
    assert "\n".join(rows) in (ROOT / "docs/json.md").read_text(encoding="utf-8")


def test_the_keys_of_the_users_file_are_told() -> None:
    rows = [f"| `{key}` | `{variable}` | {meaning} |" for key, (variable, meaning) in CONFIG_KEYS.items()]
    assert "\n".join(rows) in (ROOT / "docs/workspace.md").read_text(encoding="utf-8")


def shown() -> Iterator[tuple[str, str]]:
    """Each command line in the README and the docs, and where it stands."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            quoted = re.findall(r"`(tritonpm [^`]+)`", line)
            whole = re.match(r"(?:\$ )?(tritonpm .*)", line)
            for commands in quoted or ([whole[1]] if whole else []):
                for command in re.split(r" ; | && | \| |\s+#|;$", commands):
                    if command.startswith("tritonpm "):
                        yield f"{page.name}:{number}", command


def test_the_site_has_no_broken_link(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert "tritonpm upgrade" in (tmp_path / "commands.html").read_text(encoding="utf-8")


LINES = list(shown())


@pytest.mark.parametrize(("place", "line"), LINES, ids=[f"{place} {line}"[:80] for place, line in LINES])
def test_a_command_of_the_docs_is_there_with_its_options(place: str, line: str) -> None:
    words = [word.strip("[]") for word in shlex.split(line)[1:] if word != ">"]
    command: click.Command = cli
    context = click.Context(cli)
    while words and isinstance(command, click.Group) and (inner := _inner(command, context, words)):
        command, context = inner, click.Context(inner, parent=context)
    assert command is not cli or words[0].isupper() or words[0].startswith("-"), f"{place}: {line}"
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= known, f"{place}: {line}"


def _inner(group: click.Group, context: click.Context, words: list[str]) -> click.Command | None:
    """The command that the words begin with, which is taken off them; `perf NAME` is `perf run NAME`."""
    if group is not cli and group.get_command(context, words[0]) is None and "run" in group.list_commands(context):
        return group.get_command(context, "run")
    inner = group.get_command(context, words[0])
    if inner is not None:
        del words[0]
    return inner

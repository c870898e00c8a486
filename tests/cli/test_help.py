"""What `--help` says: every command grouped, in one line each; options under headings, the rare ones with --all."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.support.command import every_command
from tritonpm.cli.app import COMMANDS, GROUPS, App, cli
from tritonpm.cli.headings import RARE, SETTINGS
from tritonpm.cli.setting_options import NAMES

WITH_SETTINGS = ("import", "set", "optimize", "pull", "canary", "fleet set")


def helped(*arguments: str) -> str:
    """What --help prints, on a terminal of 80 columns."""
    ended = CliRunner().invoke(cli, [*arguments, "--help"], obj=App(), prog_name="tritonpm", env={"COLUMNS": "80"})
    assert ended.exit_code == 0, ended.output
    return ended.output


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_examples_of_itself(path: tuple[str, ...]) -> None:
    text = helped(*path)
    named = path[:-1] if path == ("perf", "run") else path  # what `tritonpm perf NAME` is short for
    assert f"tritonpm {' '.join(named)}" in text.split("Examples:")[1]


def test_commands_stand_in_groups_with_one_line_each() -> None:
    lines = helped().splitlines()
    for heading, names in GROUPS.items():
        start = next(number for number, line in enumerate(lines) if line.startswith(f"╭─ {heading} "))
        rows = [line.strip("│ ").split()[0] for line in lines[start + 1 : start + 1 + len(names)]]
        assert rows == list(names)
        assert lines[start + 1 + len(names)].startswith("╰")


@pytest.mark.parametrize("command", WITH_SETTINGS)
def test_settings_stand_under_headings_and_rare_ones_only_with_all(command: str) -> None:
    text, everything = helped(*command.split()), helped(*command.split(), "--all")
    for heading in SETTINGS:
        assert f"─ {heading} ─" in text
    assert text.index("--mode") < text.index("--max-batch-size") < text.index("--queue-delay-us")
    assert "--builder-level" not in text
    assert "--builder-level" in everything
    assert f"`tritonpm {command} --help --all`" in " ".join(text.split())
    assert "--help --all" not in everything


def test_every_setting_has_one_heading() -> None:
    listed = [name for names in SETTINGS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) >= NAMES
    assert set(listed) >= RARE


def test_all_goes_only_with_help() -> None:
    ended = CliRunner().invoke(cli, ["set", "bolts", "--all"], obj=App())
    assert ended.exit_code == 2
    assert "No such option '--all'" in ended.output


def test_each_command_is_in_one_group() -> None:
    assert len(COMMANDS) == len(set(COMMANDS))

"""The user's file: each key is a variable's, which goes over it; what is no such file is a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run
from tritonpm.operations.init import init


def said(file: Path, **variables: str) -> dict[str, tuple[str, str]]:
    """Value and source of each key."""
    listed = json.loads(run("config", "-o", "json", TRITONPM_CONFIG=str(file), **variables))["data"]
    return {one["key"]: (one["value"], one["source"]) for one in listed}


def test_the_file_holds_and_a_variable_goes_over_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    assert said(file)["target"] == ("", "")
    assert "embedded" in run("config", TRITONPM_CONFIG=str(file))  # what holds, which nobody has said
    init(tmp_path / "line")
    file.write_text(f'workspace = "{tmp_path}/line"\ntarget = "25.10"\nmemory_mb = 4096\n')
    assert said(file)["target"] == ("25.10", str(file))
    assert said(file)["memory_mb"] == ("4096", str(file))
    assert said(file, TRITONPM_TARGET="26.06")["target"] == ("26.06", "TRITONPM_TARGET")
    assert run("list", TRITONPM_CONFIG=str(file)) == run("list", "-w", tmp_path / "line")


def test_the_file_is_where_xdg_says(tmp_path: Path) -> None:
    (tmp_path / "tritonpm").mkdir()
    (tmp_path / "tritonpm/config.toml").write_text('profile = "mech-vision"\n')
    answer = json.loads(run("config", "-o", "json", XDG_CONFIG_HOME=str(tmp_path)))["data"]
    assert [one["value"] for one in answer if one["key"] == "profile"] == ["mech-vision"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colour = 1", "no key 'colour'"),
        ("target = [1]", "neither text nor a number"),
        ("target", "is not TOML"),
        ("\xff", "not TOML"),
    ],
)
def test_what_is_no_such_file_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert sentence in run("list", TRITONPM_CONFIG=str(tmp_path / "c.toml"), code=2)

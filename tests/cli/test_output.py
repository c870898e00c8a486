"""Tables: what is printed plainly is what rich would draw; and what is printed steers no terminal."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import tritonpm.cli
from tritonpm.cli.app import App
from tritonpm.cli.output import echo, envelope, facts, fitted, listing, show, table
from tritonpm.core.text import UNSEEN, harmless

ROWS = [("bolts", 3, None), ("a longer name", "", "two words"), ("x", 12345, "end")]


@pytest.mark.parametrize("rows", [ROWS, [], [("ünïcode", "→", "µs")], [("two\nlines", 1, "z")]])
def test_a_plain_table_is_what_rich_draws(rows: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("NAME", "COUNT", "SAID")
    table(columns, rows)
    plain = capsys.readouterr().out
    show(listing(columns, rows))
    assert plain == capsys.readouterr().out


def test_thousands_of_rows_need_no_rich(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonpm.cli.output.show", lambda what: pytest.fail("drawn by rich"))
    table(("NAME", "VALUE"), ((f"p{number}", number) for number in range(5000)))
    assert len(capsys.readouterr().out.splitlines()) == 5001


STEERING = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\x7ff\u2028g\rh"
UNPRINTED = re.compile(f"(?![\n\t])[{UNSEEN}]")


def test_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo(STEERING)
    echo(STEERING, err=True)
    table(("NAME", STEERING), [(STEERING, "x")])
    table(("NAME",), [("ü" + STEERING,)])
    show(listing((STEERING,), [(STEERING,)]))
    facts([("name", STEERING), (STEERING, "two\nlines")])
    App().fail(f"{STEERING}\nLoaded bolts.", 1)
    printed = capsys.readouterr()
    assert not UNPRINTED.search(printed.out + printed.err)
    assert "\\u001b[2J" in printed.out
    assert "\nLoaded bolts" not in printed.err


@given(st.text() | st.just(STEERING))
def test_json_and_yaml_say_the_same_and_steer_nothing(text: str) -> None:
    text = text.encode(errors="replace").decode()
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        printed = envelope("Kind", {"name": text, text: ["x", text]}, form)
        assert not UNPRINTED.search(printed)
        assert read(printed)["data"]["name"] == text


@given(st.text())
def test_harmless_changes_nothing_else(text: str) -> None:
    assert harmless(text).isprintable() or not text.isprintable()
    if not UNPRINTED.search(text):
        assert harmless(text, lines=True) == text


def test_one_module_prints() -> None:
    """Others go through it; the entry point alone prints its version and click's own help."""
    root, printing = Path(tritonpm.cli.__file__).parent, set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "print", "sys.stdout.write"):
                printing.add(str(path.relative_to(root)))
    assert printing == {"output.py", "main.py"}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_is_shown_fewer_columns_and_whole_names(width: int) -> None:
    name = "screws-inspection-line-3-station-7-left-camera"
    columns = ("NAME", "TYPE", "STAGES", "STATUS")
    rows = [(name, "preprocessing + image classification", "denoise, classify", "loaded")]
    shown, cells = fitted(columns, rows, ("STAGES", "TYPE"), width)
    assert (shown[0], shown[-1]) == ("NAME", "STATUS")
    assert len(shown) == {60: 2, 80: 2, 120: 4}[width]
    console = Console(width=width, force_terminal=True, color_system="standard")
    with console.capture() as printed:
        console.print(listing(shown, cells))
    assert name in printed.get()
    assert "\x1b[32mloaded" in printed.get()

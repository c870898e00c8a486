"""Tables: what is printed plainly is what rich would draw."""

from __future__ import annotations

import pytest

from tritonpm.cli.output import listing, show, table

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

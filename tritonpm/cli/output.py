"""How results are printed: the versioned envelope, and tables for people. Nothing else here prints.

What a package says of itself is printed as well: its characters never steer the terminal (`core/text.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tritonpm.core.text import API_VERSION, harmless

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text, one line or several."""
    import click

    click.echo(harmless(text, lines=True), err=err, nl=nl)


def moment(iso: str) -> str:
    """A moment as tables show it, in local time."""
    from datetime import datetime

    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def envelope(kind: str, data: object, form: str) -> str:
    """`data` (frozen dataclasses, mappings, sequences) as `{"apiVersion", "kind", "data"}` in JSON or YAML."""
    import msgspec

    plain = msgspec.to_builtins({"apiVersion": API_VERSION, "kind": kind, "data": data})
    if form == "json":
        return harmless(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode(), lines=True)
    import yaml

    text = str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)).rstrip()
    if text != harmless(text, lines=True):  # YAML escapes within quotes only, which it sets itself
        text = str(yaml.safe_dump(plain, sort_keys=False)).rstrip()
    return text


# Of a status on a terminal; rich leaves colours out where NO_COLOR asks for that.
_COLOURS = {
    "loaded": "green", "READY": "green", "done": "green", "optimising": "yellow", "running": "yellow",
    "LOADING": "yellow",
    "failed": "red", "interrupted": "red",  # a model that was unloaded is UNAVAILABLE, and nothing is wrong with it
}  # fmt: skip
_APART = 2  # blanks between two columns


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], drops: Sequence[str] = ()) -> None:
    """Print a table; as wide as it needs to be where standard output is not a terminal.

    On a terminal that is too narrow for all of it the columns `drops` are left out, one after the other.
    """
    cells = [[_cell(column) for column in columns], *([_cell(cell) for cell in row] for row in rows)]
    if sys.stdout.isatty() or not all(cell.isascii() and cell.isprintable() for row in cells for cell in row):
        width = _console().width
        show(listing(*fitted(columns, cells[1:], drops, width)))
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]  # rich takes seconds for thousands of rows
    for row in cells:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], drops: Sequence[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """The columns, and their cells, that stay where a table may be `width` characters wide."""
    from rich.cells import cell_len

    lengths = [max(map(cell_len, column)) + _APART for column in zip(columns, *rows, strict=True)]
    left, gone = list(range(len(columns))), list(drops)
    while gone and sum(lengths[index] for index in left) - _APART > width:
        name = gone.pop(0)
        left = [index for index in left if columns[index] != name]
    return [columns[index] for index in left], [[row[index] for index in left] for row in rows]


def listing(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table, not yet printed."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(_cell(column), overflow="fold", no_wrap=not number)  # what is named is copied whole
    for row in rows:
        made.add_row(*(Text(_cell(cell), style=_COLOURS.get(_cell(cell).partition(",")[0], "")) for cell in row))
    return made


def _cell(value: object) -> str:
    return "" if value is None else harmless(str(value), lines=True)


def show(what: RenderableType) -> None:
    """Print what rich can draw, without blanks at the ends of lines."""
    console = _console()
    with console.capture() as printed:
        console.print(what)
    sys.stdout.writelines(line.rstrip() + "\n" for line in printed.get().splitlines())


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    listed = [(harmless(name), harmless("" if value is None else str(value))) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        sys.stdout.write(f"{name:<{width}}  {value}".rstrip() + "\n")


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=400, no_color=True, soft_wrap=True)

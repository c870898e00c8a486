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


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; as wide as it needs to be where standard output is no terminal."""
    cells = [[_cell(column) for column in columns], *([_cell(cell) for cell in row] for row in rows)]
    if sys.stdout.isatty() or not all(cell.isascii() and cell.isprintable() for row in cells for cell in row):
        show(listing(columns, cells[1:]))
        return
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]  # rich takes seconds for thousands of rows
    for row in cells:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")


def listing(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table, not yet printed."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(_cell(column), overflow="fold")
    for row in rows:
        made.add_row(*(Text(_cell(cell)) for cell in row))
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

"""How `--help` is drawn, apart from the commands: to load rich_click takes as long as all else that `list` does."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import click
from rich_click import RichCommand, RichContext
from rich_click.rich_panel import RichCommandPanel, RichOptionPanel

from tritonpm.cli.headings import COMMON, RARE, Headings


def drawn(command: Any, context: click.Context, headings: Headings, groups: Headings, *, everything: bool) -> str:
    """The help of a click command as rich_click draws that of its own, its options under `headings`.

    `groups` are the headings of a group's commands. Rare options are left out where it is not `everything` that shall
    be shown.
    """
    rich = RichContext(command, info_name=context.info_name, parent=context.parent)
    formatter = rich.make_formatter()
    command.panels = []
    command.format_usage(rich, formatter)
    RichCommand.format_help_text(command, rich, formatter)
    options = [param for param in command.get_params(rich) if isinstance(param, click.Option) and not param.hidden]
    rare = [] if everything or not headings else [option for option in options if option.name in RARE]
    for heading, names in _under(headings, [option for option in options if option not in rare]).items():
        formatter.write(RichOptionPanel(heading, names).render(command, rich, formatter))
    for heading, commands in _grouped(command, rich, groups).items():
        formatter.write(RichCommandPanel(heading, list(commands)).render(command, rich, formatter))
    if rare:
        formatter.write(f"{len(rare)} rarer options: `{context.command_path} --help --all` shows them, too.\n\n")
    command.format_epilog(rich, formatter)
    return str(formatter.getvalue()).rstrip("\n")


def _under(headings: Headings, options: Sequence[click.Option]) -> dict[str, list[str]]:
    """The options by heading, each by what is typed; first those that have none."""
    places = {name: heading for heading, names in {**headings, **COMMON}.items() for name in names}
    listed: dict[str, list[str]] = {heading: [] for heading in ("Options", *headings, *COMMON)}
    order = {name: number for number, name in enumerate(places)}
    for option in sorted(options, key=lambda option: order.get(_known(option, order), -1)):
        listed[places.get(_known(option, order), "Options")].append(option.opts[0])
    return {heading: names for heading, names in listed.items() if names}


def _known(option: click.Option, names: Container[str]) -> str:
    """Under which of its names the headings have an option; "" where they do not."""
    return next((name for name in (*option.opts, option.name or "") if name in names), "")


def _grouped(command: click.Command, context: click.Context, groups: Headings) -> Headings:
    if not isinstance(command, click.Group):
        return {}
    return groups or {"Commands": tuple(command.list_commands(context))}

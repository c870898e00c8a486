"""`tritonpm set`: how a package is served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, for_a_release, on_a_server, pass_app, reading
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.live_output import say_switched
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import AUTO, UNSET, named, setting_options
from tritonpm.core.units import number_of
from tritonpm.settings.settings import GROWTH

if TYPE_CHECKING:
    from tritonpm.operations.autoscale import InstanceTrial
    from tritonpm.operations.context import Context


@command(
    "set",
    examples="""
    tritonpm set bolts --mode performance --instances 2 --device cpu --max-batch-size 16
    tritonpm set bolts --stage detect --max-batch-size 1
    tritonpm set bolts --mode performance --instances auto
    tritonpm set bolts --precision fp16 --live
    tritonpm set bolts --unset precision,optimizer
    """,
    headings=SETTINGS,
)
@NAME
@click.option("--stage", help="Change only this stage of a cascade.")
@click.option("--live", is_flag=True, help="Apply it to the server at once, without failing a request.")
@UNSET
@setting_options
@on_a_server
@for_a_release
@reading
@pass_app
def set_command(
    app: App, name: str, stage: str | None, live: bool, unset: tuple[tuple[str, ...], ...], changes: dict[str, Any]
) -> None:
    """Change how a package is served; `tritonpm load`, or --live, brings the change to the server."""
    gone = named(unset)
    if not changes and not gone:
        raise click.UsageError("nothing to change was given")
    from tritonpm.operations.set import change, change_live, require_changeable

    with app.open() as context:
        if changes.get("instances") == AUTO:
            if not live:  # before anything is measured in vain
                require_changeable(context, name, changes, gone)
            changes = _measured(app, context, name, stage, changes, gone)
        if live:
            say_switched(app, name, change_live(context, name, changes, stage=stage, unset=gone))
            return
        package = change(context, name, changes, stage=stage, unset=gone)
    parts = [f"{what} {', '.join(sorted(names))}" for what, names in (("set", changes), ("unset", gone)) if names]
    of = f"stage {stage} of {name}" if stage else name
    app.emit("Package", package, lambda: echo(f"{' and '.join(parts).capitalize()} of {of}."))
    for note in package.notes:
        app.advise(f"Note: {note}.")
    if package.pending:
        app.advise(f"`tritonpm load {name}` brings the change to the server.")


def _measured(
    app: App, context: Context, name: str, stage: str | None, changes: dict[str, Any], unset: tuple[str, ...]
) -> dict[str, Any]:
    """The changes with as many instances as pay; what was tried is told."""
    from tritonpm.operations.autoscale import instances_that_pay

    others = {field: value for field, value in changes.items() if field != "instances"}
    chosen, trials = instances_that_pay(context, name, others, stage=stage, unset=unset)
    for sentence in trial_sentences(trials):
        app.advise(sentence)
    return chosen


def trial_sentences(trials: Sequence[InstanceTrial]) -> Iterator[str]:
    """What was tried, and why so many are kept; two numbers are compared window by window, of the same minute."""
    for trial in trials:
        fewer = number_of(trial.instances // 2, "instance")
        growth = f", {trial.growth:.2f} × that of {fewer} measured in turn" if trial.growth is not None else ""
        yield f"{number_of(trial.instances, 'instance')}: {trial.throughput:.0f} infer/s{growth}"
    last = trials[-1]
    enough = last.growth is not None and last.growth < GROWTH
    count = trials[-2].instances if enough else last.instances
    why = f"more bring less than {GROWTH - 1:.0%}" if enough else "more are not tried on this machine"
    yield f"{count} {'are' if count > 1 else 'is'} kept: {why}."

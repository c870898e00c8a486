"""`tritonpm profile`: where a package's time goes."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import NAME


@command("profile", examples="tritonpm profile bolts\ntritonpm profile bolts --stage detect --top 10 -o json")
@NAME
@click.option("--stage", help="The stage of a cascade [default: all].")
@click.option("--top", type=int, default=20, show_default=True, help="How many layers to show.")
@reading
@pass_app
def profile_command(app: App, name: str, stage: str | None, top: int) -> None:
    """Show where a package's time goes: layer by layer, the slowest first."""
    from tritonpm.cli.output import table
    from tritonpm.operations.optimize.profile import profile

    with app.open() as context:
        layers = profile(context, name, stage)
    shown = layers[:top] if app.output == "table" else layers
    columns = ("STAGE", "LAYER", "TYPE", "KERNEL", "PRECISION", "MICROSECONDS", "SHARE")
    total = sum(layer.micros or 0 for layer in layers) or 1
    rows = (
        (layer.stage, layer.name, layer.kind, layer.kernel, layer.precision,
         "" if layer.micros is None else f"{layer.micros:.0f}",
         "" if layer.micros is None else f"{layer.micros / total:.1%}")
        for layer in shown
    )  # fmt: skip
    app.emit("Profile", layers, lambda: table(columns, rows))
    if any(layer.micros is None for layer in layers):
        app.advise("An engine's times need its GPU; these are the layers that its build reported.")

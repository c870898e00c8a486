"""`tritonpm targets`: the Triton releases, and the one that a workspace is for."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.output import table


@command("targets", examples="tritonpm targets\ntritonpm targets --use 25.10\ntritonpm targets --use embedded")
@click.option("--use", "name", metavar="RELEASE", help="Make this the release that the workspace is for.")
@reading
@pass_app
def targets_command(app: App, name: str | None) -> None:
    """List the Triton releases, their runtimes and what those load; * marks the one that the workspace is for."""
    from tritonpm.catalogue import find
    from tritonpm.core.errors import NotFoundError
    from tritonpm.operations import targets

    if name:
        chosen = targets.use(find(app.workspace), name)
        stay = "published packages stay as they are until they are loaded again"
        app.say(f"The workspace is for {chosen.title} now; {stay}.")
        return
    try:
        workspace = find(app.workspace)
    except NotFoundError:
        workspace = None
    rows = targets.targets(workspace)

    def text() -> None:
        columns = ("", "Release", "Triton", "ONNX Runtime", "IR", "Opset", "OpenVINO", "Came with it")
        table(
            columns,
            (
                ("*" if row.chosen else "", row.name, row.triton, row.onnxruntime, row.ir, row.opset, row.openvino,
                 ", ".join([*(f"--{flag}" for flag in row.flags), *(f.rpartition(".")[2] for f in row.fields)]))
                for row in rows
            ),
        )  # fmt: skip

    app.emit("Targets", rows, text)

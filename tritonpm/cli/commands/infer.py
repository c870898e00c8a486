"""`tritonpm infer`: one request."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME, PROTOCOL


@command("infer", examples="tritonpm infer bolts --input in.npz --output out.npz --protocol grpc")
@NAME
@click.option(
    "--input", "inputs", type=click.Path(path_type=Path), help="An .npz of input tensors by name [default: a sample]."
)
@click.option("--output", "outputs", type=click.Path(path_type=Path), help="Write the answer there as .npz.")
@click.option("--version", default="", help="A version of the model [default: the server's choice].")
@PROTOCOL
@on_a_server
@reading
@pass_app
def infer_command(app: App, name: str, inputs: Path | None, outputs: Path | None, version: str, protocol: str) -> None:
    """Send one inference request and print or keep the answer."""
    from tritonpm.cli.output import table
    from tritonpm.operations.infer import infer

    with app.open() as context:
        answer = infer(context, name, inputs, outputs, protocol=protocol, version=version)
    rows = ((t.name, t.dtype, t.shape, t.values, t.labels) for t in answer.tensors)
    app.emit("Answer", answer, lambda: table(("OUTPUT", "TYPE", "SHAPE", "VALUES", "CLASSES"), rows))
    if answer.responses != 1:
        app.advise(f"{name} sent {answer.responses or 'no'} responses.")
    if outputs:
        app.advise(f"Wrote {outputs}.")

"""`tritonpm infer`: one request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME, PROTOCOL


@command(
    "infer",
    examples="""
    tritonpm infer bolts --input in.npz --output out.npz --protocol grpc
    tritonpm infer bolts --image part.png --draw found.png
    tritonpm infer bolts --image parts/ -o json
    """,
)
@NAME
@click.option(
    "--input", "inputs", type=click.Path(path_type=Path), help="An .npz of input tensors by name [default: a sample]."
)
@click.option("--image", type=click.Path(path_type=Path), help="A picture, or a folder of them.")
@click.option("--draw", type=click.Path(path_type=Path), help="Draw what a picture holds into a file, or a folder.")
@click.option("--output", "outputs", type=click.Path(path_type=Path), help="Write the answer there as .npz.")
@click.option("--version", default="", help="A version of the model [default: the server's choice].")
@PROTOCOL
@on_a_server
@reading
@pass_app
def infer_command(
    app: App,
    name: str,
    inputs: Path | None,
    image: Path | None,
    draw: Path | None,
    outputs: Path | None,
    version: str,
    protocol: str,
) -> None:
    """Send an inference request and print or keep the answer; of pictures, what they hold."""
    if image is not None and (inputs is not None or outputs is not None):
        raise click.UsageError("--image goes without --input and --output")
    if draw is not None and image is None:
        raise click.UsageError("--draw needs --image")
    if image is not None:
        _infer_pictures(app, name, image, draw, version, protocol)
        return
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


def _infer_pictures(app: App, name: str, image: Path, draw: Path | None, version: str, protocol: str) -> None:
    from tritonpm.cli.output import table
    from tritonpm.operations.infer import infer_pictures

    with app.open() as context:
        pictures = tuple(infer_pictures(context, name, image, draw=draw, protocol=protocol, version=version))
    rows = [
        (picture.picture, *_in_words(one)) for picture in pictures for one in picture.objects or ({"kind": "nothing"},)
    ]
    app.emit("Pictures", pictures, lambda: table(("PICTURE", "WHAT", "SCORE", "WHERE"), rows))
    if draw and pictures:
        app.advise(f"Wrote {', '.join(picture.drawn for picture in pictures)}.")


def _in_words(one: Mapping[str, Any]) -> tuple[str, str, str]:
    what = one.get("name") or one.get("text") or one["kind"]
    box = one.get("box", ())
    return str(what), f"{one['score']:.3f}" if "score" in one else "", " ".join(f"{side:.0f}" for side in box)

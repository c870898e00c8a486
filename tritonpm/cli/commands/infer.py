"""`tritonpm infer`: one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import NAME, PROTOCOL

if TYPE_CHECKING:
    from tritonpm.operations.infer import PictureView

_SHOWN = 8  # numbers of a vector in a table


@command(
    "infer",
    examples="""
    tritonpm infer bolts
    tritonpm infer bolts --input in.npz --output out.npz --protocol grpc
    tritonpm infer bolts --input in.json -o json
    tritonpm infer bolts --image part.png --draw found.png
    tritonpm infer bolts --image parts/ -o json
    """,
)
@NAME
@click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path),
    help="Input tensors by name: an .npz file, or JSON in KServe's form or as nested lists "
    "[default: a sample, or made-up input].",
)
@click.option("--image", type=click.Path(path_type=Path), help="A picture, or a folder of them.")
@click.option("--draw", type=click.Path(path_type=Path), help="Draw what was found into this file or folder.")
@click.option("--output", "outputs", type=click.Path(path_type=Path), help="Save the answer here, as .npz.")
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
    """Send an inference request, and print or save the answer; for pictures, show what is in them.

    Input with more rows than the model takes at once is split into several requests.
    """
    if image is not None and (inputs is not None or outputs is not None):
        raise click.UsageError("--image cannot be combined with --input or --output")
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
    if answer.sent:
        code = app.on_server(f"tritonpm client {name}")
        app.advise(f"Sent {answer.sent}; --input or --image sends yours, {code} prints client code.")
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
        (picture.picture, *words)
        for picture in pictures
        for words in (*_verdict(picture), *map(_in_words, picture.objects or ({"kind": "nothing"},)))
    ]
    app.emit("Pictures", pictures, lambda: table(("PICTURE", "WHAT", "SCORE", "WHERE"), rows))
    if draw and pictures:
        app.advise(f"Wrote {', '.join(picture.drawn for picture in pictures)}.")


def _verdict(picture: PictureView) -> list[tuple[str, str, str]]:
    """The verdict in front of the objects: NG says which conditions do not hold."""
    why = f": {', '.join(picture.failed)}" if picture.failed else ""
    return [(f"{picture.verdict}{why}", "", "")] if picture.verdict else []


def _in_words(one: Mapping[str, Any]) -> tuple[str, str, str]:
    what = one.get("name") or one.get("text") or one["kind"]
    if one["kind"] in ("regression", "embedding"):
        what = f"{what}: {_numbers(one.get('values') or one.get('vector') or ())}"
    if answers := one.get("answers"):
        what = f"{what} ({', '.join(_in_words(answer)[0] for answer in answers)})"
    box = one.get("box", ())
    return str(what), f"{one['score']:.3f}" if "score" in one else "", " ".join(f"{side:.0f}" for side in box)


def _numbers(values: Sequence[float]) -> str:
    return " ".join([*(f"{value:.4g}" for value in values[:_SHOWN]), *(["…"] if len(values) > _SHOWN else ())])

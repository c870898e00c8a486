"""`tritonpm import` (a word of Python, hence the file's name): brings a package in."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, for_a_release, pass_app, reading
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.options import ALLOW_CODE, IGNORE_REQUIREMENTS, PROFILE, SOURCE
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import setting_options


@command(
    "import",
    examples="""
    tritonpm import bolts.zip --name bolts
    tritonpm import resnet50.onnx --max-batch-size 16
    tritonpm import model_repository/densenet_onnx
    tritonpm import hf://timm/resnet18@main
    tritonpm import models:/bolts/3
    """,
    headings=SETTINGS,
)
@SOURCE
@click.option("--name", help="The package's name [default: the manifest's, or the file's].")
@ALLOW_CODE
@PROFILE
@IGNORE_REQUIREMENTS
@setting_options
@for_a_release
@reading
@pass_app
def import_command(app: App, /, source: str, changes: dict[str, Any], **options: Any) -> None:
    """Import a package: a .zip or folder with package.yaml, a model file, or a Triton model folder.

    Models of TensorFlow, Keras, PaddlePaddle and PyTorch are converted on the way. SOURCE may be an address, as for
    `tritonpm pull`.
    """
    from tritonpm.operations.pull import bring_in

    with app.open() as context:
        view = bring_in(context, source, changes=changes, **options)
    app.emit("Package", view, lambda: echo(f"Imported {view.name} ({view.type}, {view.digest[:19]})."))
    for note in view.notes:
        app.advise(f"Note: {note}")

"""`tritonpm convert`: a model file in another format, without a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tritonpm.cli.amounts import SHARE
from tritonpm.cli.app import App, command, pass_app
from tritonpm.cli.optimise_output import describe_conversion
from tritonpm.cli.options import SAMPLES, limited
from tritonpm.cli.setting_options import Bound, Pair
from tritonpm.core.units import GIB
from tritonpm.settings.settings import PRECISIONS


@command(
    "convert",
    examples="""
    tritonpm convert model.onnx --to openvino -o out
    tritonpm convert model.onnx --to openvino --precision int8 --calibration samples/ --output out
    tritonpm convert model.onnx --to tensorrt --precision fp16 --compute-capability 8.9 -o out
    tritonpm convert saved_model/ --to openvino -o out
    """,
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", "target", type=click.Choice(["openvino", "onnx", "tensorrt"]), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--precision", type=click.Choice(PRECISIONS, case_sensitive=False), default="FP32", show_default=True)
@SAMPLES
@click.option("--max-drop", type=SHARE, help="INT8: the share of the score that may be lost, e.g. 0.01.")
@click.option(
    "--tolerance", "tolerances", type=Bound(), multiple=True, help="A bound that the proof must meet (repeatable)."
)
@click.option("--max-batch-size", type=int, default=8, show_default=True, help="TensorRT: the largest batch.")
@click.option("--shape", "shapes", type=Pair(), multiple=True, help="TensorRT: INPUT=LEAST:BEST:MOST (repeatable).")
@click.option(
    "--compute-capability",
    metavar="X.Y",
    help="TensorRT: the compute capability of the GPU to build for [default: this machine's].",
)
@limited
@pass_app
def convert_command(app: App, /, source: Path, target: str, output: Path, **options: Any) -> None:
    """Convert a model file, and prove the result against the original."""
    from tritonpm.operations.optimize.convert_file import convert

    options["tolerances"], options["shapes"] = dict(options["tolerances"]), dict(options["shapes"])
    memory = options.pop("memory_limit")
    options["memory_limit"] = int(memory * GIB) if memory else None
    view = convert(source, target, output, progress=app.progress, **options)
    describe_conversion(view)

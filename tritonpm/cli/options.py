"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tritonpm.cli.amounts import ABOVE_0, LIMIT, WAIT
from tritonpm.cli.completing import files, packages

NAME = click.argument("name", metavar="NAME", shell_complete=packages)
SOURCE = click.argument("source", shell_complete=files)  # a path or an address
PROFILE = click.option(
    "--profile", default="", metavar="NAME", envvar="TRITONPM_PROFILE",
    help="The site's profile, mech-vision or mech-vision:VERSION [TRITONPM_PROFILE].",
)  # fmt: skip
ALLOW_CODE = click.option(
    "--allow-code", is_flag=True, help="Accept content that runs code when it is loaded (model.py, *.so, engines)."
)
IGNORE_REQUIREMENTS = click.option(
    "--ignore-requirements", is_flag=True, help="Import although this machine cannot serve the package."
)
REPOSITORY = click.option(
    "--repository", metavar="URL", help="A repository elsewhere: s3://BUCKET/PREFIX, gs://…, as://…, or a folder."
)
LOAD_TIMEOUT = click.option(
    "--timeout", type=WAIT, default=300.0, show_default=True, help="Seconds to wait until it is ready."
)
_PORTS = tuple(
    click.option(f"--{name}-port", type=int, help=f"[default: the last one's, {port}, or a free one]")
    for name, port in (("http", 8000), ("grpc", 8001), ("metrics", 8002))
)
PROTOCOL = click.option("--protocol", type=click.Choice(["http", "grpc"]), default="http", show_default=True)
DECLARATION = click.option(
    "-f", "--file", "path", type=click.Path(path_type=Path), default=Path("tritonpm.yaml"), show_default=True,
    help="The declaration.",
)  # fmt: skip
PRUNE = click.option("--prune", is_flag=True, help="Unload and remove packages that are not declared.")
UPDATE = click.option("--update", is_flag=True, help="Accept sources that have changed since they were pinned.")
SAMPLES = click.option(
    "--calibration", type=click.Path(path_type=Path), metavar="FOLDER",
    help="INT8: .npz files or images to calibrate on [default: the package's samples].",
)  # fmt: skip
LIMITS = (
    click.option("--time-limit", type=LIMIT, default=3600.0, show_default=True, help="Seconds for each stage."),
    click.option("--memory-limit", type=ABOVE_0, metavar="GIB", help="For each stage [default: 3/4 of the machine's]."),
)


def on_ports(function: Any) -> Any:
    """Add the ports of a server that is started; the command gets them by their names."""
    for option in reversed(_PORTS):
        function = option(function)
    return function


def limited(function: Any) -> Any:
    """Add the limits of a conversion."""
    for option in reversed(LIMITS):
        function = option(function)
    return function

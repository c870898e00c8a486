"""`tritonpm run`: serves a model, from nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.options import ALLOW_CODE, IGNORE_REQUIREMENTS, LOAD_TIMEOUT, PROFILE, SOURCE, on_ports
from tritonpm.cli.output import echo, facts, table
from tritonpm.cli.setting_options import setting_options

if TYPE_CHECKING:
    from tritonpm.operations.run import Run


@command(
    "run",
    examples="""
    tritonpm run model.onnx
    tritonpm run bolts.zip --max-batch-size 16 --detach
    tritonpm run detector.onnx --serve image -w lines/line-3
    tritonpm run hf://timm/resnet18@main
    tritonpm run oci://registry.site/vision/bolts:1.2
    """,
    headings=SETTINGS,
)
@SOURCE
@click.option("--name", help="The package's name [default: the manifest's, or the file's].")
@click.option("--detach", is_flag=True, help="Return once it answers; `tritonpm stop` stops the server.")
@on_ports
@LOAD_TIMEOUT
@ALLOW_CODE
@PROFILE
@IGNORE_REQUIREMENTS
@setting_options
@reading
@pass_app
def run_command(
    app: App, /, source: str, detach: bool, timeout: float, http_port: int | None, grpc_port: int | None,
    metrics_port: int | None, **options: Any,
) -> None:  # fmt: skip
    """Serve a model on this machine: anything that `import` and `pull` take. Prints client code for it.

    If there is no workspace, the current folder (or the one given with -w) becomes one. A model that has been imported
    already is served as it is. Ctrl-C stops the server, unless it was running before.
    """
    from tritonpm.operations.run import run, server_for
    from tritonpm.operations.supervise import supervise

    ports = {"http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    name = _import(app, source, options)
    with app.open() as context, server_for(context, detach=detach, **ports) as (server, started):
        view = run(context, name, server, started=started, timeout=timeout)
        if attached := started and not detach:
            _tell(app, view, detach)
            with suppress(KeyboardInterrupt):
                supervise(context, app.advise)
    if attached:
        app.advise("Stopped.")
    else:  # a reader who has gone (`| head`) does not end the server
        _tell(app, view, detach)


def _import(app: App, source: str, options: dict[str, Any]) -> str:
    """Bring the package in, into a workspace that is made where there is none; its name."""
    from tritonpm.operations.run import brought_in, workspace_for

    with workspace_for(source, app.workspace) as (app.workspace, made), app.open() as context:
        package, imported = brought_in(context, source, **options)
    if made:  # and it stays: what could not be imported takes it away
        app.say(f"Created a workspace in {app.workspace}.")
    app.say(f"{'Imported' if imported else 'Using'} {package.name} ({package.type}, {package.digest[:19]}).")
    for note in package.notes:
        app.advise(f"Note: {note}")
    return package.name


def _tell(app: App, view: Run, detach: bool) -> None:
    app.emit("Run", view, lambda: _describe(app, view))
    sys.stdout.flush()  # whoever reads it, reads it now
    app.advise(_end(view, detach))


def _describe(app: App, view: Run) -> None:
    """What serves it, what it takes and gives, and code that asks it."""
    from tritonpm.cli.describe import shape

    echo(f"Loaded {view.name}, revision {view.revision}: {view.probe}.\n")
    facts((("http", view.server.http), ("grpc", view.server.grpc), ("metrics", view.server.metrics)))
    echo()
    rows = [
        (kind, tensor.name, tensor.dtype, shape(tensor.shape))
        for kind, tensors in (("input", view.inputs), ("output", view.outputs))
        for tensor in tensors
    ]
    table(("", "TENSOR", "TYPE", "SHAPE"), rows)
    if view.meaning:
        echo(f"\nIt means: {view.meaning}.")
    for one in view.code:
        needs = f" (needs {one.needs})" if one.needs != one.language else ""
        echo(f"\n{one.language}{needs}:\n")
        echo(one.code, nl=False)


def _end(view: Run, detach: bool) -> str:
    """How it ends."""
    if not view.started:
        return f"\nThe server was running before and keeps running; `tritonpm unload {view.name}` unloads this package."
    return "\n`tritonpm stop` ends it." if detach else "\nCtrl-C ends it."

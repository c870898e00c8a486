"""Commands on packages: what is in the workspace and how it shall be served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.revisions import say_switched
from tritonpm.cli.settings import AUTO, setting_options
from tritonpm.settings.settings import GROWTH

if TYPE_CHECKING:
    from tritonpm.operations.autoscale import Trial

NAME = click.argument("name", metavar="NAME")
PROFILE = click.option(
    "--profile", default="", metavar="NAME", envvar="TRITONPM_PROFILE",
    help="The site's profile, mech-vision or mech-vision:VERSION [TRITONPM_PROFILE].",
)  # fmt: skip
EXISTING = click.Path(exists=False, path_type=Path)


@command(
    "import",
    examples="""
    tritonpm import bolts.zip --name bolts
    tritonpm import resnet50.onnx --max-batch-size 16
    tritonpm import model_repository/densenet_onnx
    """,
)
@click.argument("source", type=EXISTING)
@click.option("--name", help="The package's name [default: the manifest's, or the file's].")
@click.option("--allow-code", is_flag=True, help="Accept content that runs code on load (model.py, *.so, engines).")
@PROFILE
@click.option("--ignore-requirements", is_flag=True, help="Import on a machine that only prepares packages.")
@setting_options
@reading
@pass_app
def import_command(app: App, /, source: Path, changes: dict[str, Any], **told: Any) -> None:
    """Import a package: a .zip or folder with package.yaml, a model file, or a Triton model folder."""
    view = app.manager().import_package(source, changes=changes, **told)
    app.emit("Package", view, lambda: click.echo(f"Imported {view.name} ({view.type}, {view.digest[:19]})."))
    for note in view.notes:
        app.advise(f"Note: {note}")


@command("show", examples="tritonpm show bolts\ntritonpm show bolts -o yaml")
@NAME
@reading
@pass_app
def show_command(app: App, name: str) -> None:
    """Show a package: its stages, tensors, settings and state."""
    from tritonpm.cli.describe import describe_package

    view = app.manager().show(name)
    app.emit("PackageDetails", view, lambda: describe_package(view))


@command("inspect", examples="tritonpm inspect resnet50.onnx\ntritonpm inspect bolts.zip -o json")
@click.argument("file", type=EXISTING)
@click.option("--allow-code", is_flag=True, help="Look into content that would run code on load, too.")
@reading
@pass_app
def inspect_command(app: App, file: Path, allow_code: bool) -> None:
    """Show what a model file or package holds, without importing it."""
    from tritonpm.cli.describe import describe_stages
    from tritonpm.operations.manager import inspect

    found = inspect(file, allow_code=allow_code)
    app.emit("Inspection", found, lambda: describe_stages(found))


@command(
    "set",
    examples="""
    tritonpm set bolts --mode performance --instances 2 --device cpu --max-batch-size 16
    tritonpm set bolts --stage detect --max-batch-size 1
    tritonpm set bolts --mode performance --instances auto
    tritonpm set bolts --precision fp16 --live
    """,
)
@NAME
@click.option("--stage", help="Change one stage of a cascade only.")
@click.option("--live", is_flag=True, help="Bring it to the server at once, with no request failed.")
@setting_options
@on_a_server
@reading
@pass_app
def set_command(app: App, name: str, stage: str | None, live: bool, changes: dict[str, Any]) -> None:
    """Change how a package is served; `tritonpm load`, or --live, brings the change to the server."""
    if not changes:
        raise click.UsageError("nothing to change was given")
    manager = app.manager()
    if changes.get("instances") == AUTO:
        manager.change(name, {**changes, "mode": "performance", "instances": None}, stage=stage)
        count, trials = manager.measure_instances(name)
        changes = {**changes, "mode": "performance", "instances": count}
        _say_trials(app, count, trials)
    if live:
        say_switched(app, name, app.switching().set(name, changes, stage=stage))
        return
    view = manager.change(name, changes, stage=stage)
    app.emit("Package", view, lambda: click.echo(f"Set {', '.join(sorted(changes))} of {name}."))
    if view.pending:
        app.advise(f"`tritonpm load {name}` brings the change to the server.")


def _say_trials(app: App, count: int, trials: list[Trial]) -> None:
    for trial in trials:
        growth = f", {trial.growth - 1:+.1%}" if trial.growth is not None else ""
        app.advise(f"{trial.instances} instances: {trial.throughput:.0f} infer/s{growth}")
    app.advise(f"{count} {'are' if count > 1 else 'is'} kept: more bring less than {GROWTH - 1:.0%}.")


@command("rename", examples="tritonpm rename bolts bolts-line3")
@NAME
@click.argument("new_name", metavar="NEW-NAME")
@pass_app
def rename_command(app: App, name: str, new_name: str) -> None:
    """Give a package another name; it must not be loaded."""
    app.manager().rename(name, new_name)
    app.say(f"Renamed {name} to {new_name}.")


@command("remove", examples="tritonpm remove bolts")
@NAME
@pass_app
def remove_command(app: App, name: str) -> None:
    """Remove a package and what was published of it; it must not be loaded."""
    app.manager().remove(name)
    app.say(f"Removed {name}.")


@command("export", examples="tritonpm export bolts\ntritonpm export bolts --output backup/bolts.zip")
@NAME
@click.option("--output", "destination", type=EXISTING, help="The .zip to write [default: NAME.zip].")
@click.option("--force", is_flag=True, help="Replace the file where it exists.")
@pass_app
def export_command(app: App, name: str, destination: Path | None, force: bool) -> None:
    """Write a package back as a .zip that `import` reads."""
    written = app.manager().export(name, destination or Path(f"{name}.zip"), force=force)
    app.say(f"Wrote {written}.")

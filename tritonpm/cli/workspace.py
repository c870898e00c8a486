"""Commands on the workspace and on tritonpm itself."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.packages import PROFILE
from tritonpm.cli.stores import REPOSITORY, verify_elsewhere
from tritonpm.core.errors import TritonpmError


@command("init", examples="tritonpm init\ntritonpm init lines/line-3")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@pass_app
def init_command(app: App, folder: Path | None) -> None:
    """Make a workspace: the catalogue and model_repository/."""
    from tritonpm.operations.manager import init

    root, fresh = init(folder or app.workspace or Path.cwd())
    app.say(f"Made a workspace in {root}." if fresh else f"{root} already is a workspace; nothing was changed.")


@command("schema", examples="tritonpm schema > package.schema.json")
def schema_command() -> None:
    """Print the JSON Schema of package.yaml."""
    import json

    from tritonpm.package import manifest_schema

    click.echo(json.dumps(manifest_schema(), indent=2, ensure_ascii=False))


@command(
    "doctor", examples="tritonpm doctor\ntritonpm doctor --profile mech-vision\ntritonpm doctor --rebuild-catalogue"
)
@PROFILE
@click.option("--rebuild-catalogue", is_flag=True, help="Make a corrupt catalogue anew from the packages' records.")
@click.option("--fix", is_flag=True, help="Make again what `verify` finds damaged, from the blobs.")
@reading
@pass_app
def doctor_command(app: App, rebuild_catalogue: bool, fix: bool, profile: str) -> None:
    """Say what this machine has, what is missing and how to get it."""
    if fix:
        mended, left = app.manager().mend()
        for each in mended:
            app.say(f"Mended {each.name}, which {each.sentence}.")
        for each in left:
            app.advise(f"{each.name} {each.sentence}.")
        app.say(f"{len(mended)} mended, {len(left)} left.")
        return
    if rebuild_catalogue:
        names = app.manager().rebuild()
        app.say(f"Rebuilt the catalogue with {len(names)} packages; publish them again with `tritonpm load`.")
        return
    from tritonpm.cli.output import table
    from tritonpm.operations.manager import doctor

    checks = doctor(profile)
    rows = (("ok" if c.ok else "missing" if c.needed else "-", c.name, c.found or c.remedy) for c in checks)
    app.emit("Doctor", checks, lambda: table(("", "CHECK", "FOUND, OR WHAT TO DO"), rows))
    if any(c.needed and not c.ok for c in checks):
        raise TritonpmError("something needed is missing", do="see the list above")


@command("verify", examples="tritonpm verify\ntritonpm verify -o json\ntritonpm verify --repository s3://bucket/models")
@REPOSITORY
@reading
@pass_app
def verify_command(app: App, repository: str | None) -> None:
    """Read every blob and every published file, and tell what is not as it was; `doctor --fix` mends it."""
    if repository:
        verify_elsewhere(app, repository)
        return
    from tritonpm.cli.output import table

    found = app.manager().verify()
    rows = ((each.kind, each.name, each.sentence) for each in found)
    app.emit("Damages", found, lambda: table(("KIND", "WHAT", "PROBLEM"), rows) if found else app.say("All is whole."))
    if any(each.kind != "foreign" for each in found):
        raise TritonpmError("not all is as it was", do="`tritonpm doctor --fix` makes it again from the blobs")


@command("completion", examples='eval "$(tritonpm completion bash)"\ntritonpm completion fish | source')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the shell's completion script."""
    from click.shell_completion import get_completion_class

    from tritonpm.cli.app import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(cli, {}, "tritonpm", "_TRITONPM_COMPLETE").source())

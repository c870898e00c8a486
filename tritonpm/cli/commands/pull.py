"""`tritonpm pull`: fetches a package from a registry and imports it."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.completing import files
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.live_output import say_switched
from tritonpm.cli.options import ALLOW_CODE, IGNORE_REQUIREMENTS, PROFILE
from tritonpm.cli.output import echo
from tritonpm.cli.setting_options import setting_options


@command(
    "pull",
    examples="""
    tritonpm pull oci://registry.site/vision/bolts:1.2
    tritonpm pull https://files.site/bolts.zip --digest sha256:4f53…
    tritonpm pull s3://packages/bolts.zip --name bolts-line3
    tritonpm pull oci://registry.site/vision/bolts:1.3 --upgrade bolts
    """,
    headings=SETTINGS,
)
@click.argument("url", shell_complete=files)
@click.option("--digest", default="", metavar="sha256:…", help="The digest of the .zip; required for https://.")
@click.option("--name", help="The package's name [default: the manifest's].")
@click.option("--upgrade", metavar="NAME", help="Replace this package; live if it is loaded.")
@ALLOW_CODE
@PROFILE
@IGNORE_REQUIREMENTS
@setting_options
@on_a_server
@reading
@pass_app
def pull_command(app: App, /, url: str, digest: str, upgrade: str | None, **options: Any) -> None:
    """Fetch a package and import it: from oci://, https://, s3://, gs://, az://, hf://, models:/ or a folder."""
    from tritonpm.operations.pull import pull, pull_upgrade

    if upgrade:
        if options["name"] or options["changes"]:
            raise click.UsageError("--upgrade keeps the name and the settings: use it alone")
        with app.open() as context:
            loaded = pull_upgrade(context, upgrade, url, digest=digest, allow_code=options["allow_code"])
        say_switched(app, upgrade, loaded)
        return
    with app.open() as context:
        view = pull(context, url, digest=digest, **options)
    app.emit("Package", view, lambda: echo(f"Pulled {view.name} ({view.type}, {view.digest[:19]})."))
    for note in view.notes:
        app.advise(f"Note: {note}")

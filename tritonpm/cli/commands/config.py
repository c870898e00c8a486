"""`tritonpm config`: what holds for this user, and who says it."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, pass_app, reading


@command("config", examples="tritonpm config\ntritonpm config -o json")
@click.argument("words", nargs=-1, metavar="")
@reading
@pass_app
def config_command(app: App, words: tuple[str, ...]) -> None:
    """Show your personal defaults: from ~/.config/tritonpm/config.toml, or from variables, which override it.

    Each line of the file is KEY = VALUE, such as `server = "https://triton.site:8000"`; edit it by hand.
    """
    from tritonpm.cli.output import table
    from tritonpm.core.user_config import config_file
    from tritonpm.operations.config import config

    if words:
        raise click.UsageError(f"config changes nothing: write KEY = VALUE into {config_file()} by hand")
    values = config()
    rows = ((one.key, one.in_force, one.source or "default", one.variable, one.meaning) for one in values)
    app.emit("Config", values, lambda: table(("KEY", "VALUE", "FROM", "VARIABLE", "WHAT IT IS"), rows))
    if not config_file().exists():
        app.advise(f"There is no {config_file()}; write KEY = VALUE lines into it to set a key.")

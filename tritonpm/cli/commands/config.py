"""`tritonpm config`: what holds for this user, and who says it."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app, reading


@command("config", examples="tritonpm config\ntritonpm config -o json")
@reading
@pass_app
def config_command(app: App) -> None:
    """Say what holds wherever you are: of ~/.config/tritonpm/config.toml, or of variables, which go over it.

    The file has a key a line, such as `server = "https://triton.site:8000"`.
    """
    from tritonpm.cli.output import table
    from tritonpm.core.user_config import config_file
    from tritonpm.operations.config import config

    values = config()
    rows = ((one.key, one.value or "the usual", one.source, one.variable, one.meaning) for one in values)
    app.emit("Config", values, lambda: table(("KEY", "VALUE", "FROM", "VARIABLE", "WHAT IT IS"), rows))
    if not config_file().exists():
        app.advise(f"There is no {config_file()}.")

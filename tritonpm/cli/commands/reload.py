"""`tritonpm reload`: loads a package's files anew."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.options import LOAD_TIMEOUT, NAME
from tritonpm.cli.output import echo


@command("reload", examples="tritonpm reload bolts")
@NAME
@LOAD_TIMEOUT
@on_a_server
@reading
@pass_app
def reload_command(app: App, name: str, timeout: float) -> None:
    """Rewrite and reload a package without disturbing requests."""
    from tritonpm.operations.reload import reload

    with app.open() as context:
        view = reload(context, name, timeout=timeout)
    app.emit("LoadResult", view, lambda: echo(f"Reloaded {name}, revision {view.revision}: {view.probe}."))

"""`tritonpm sync`: makes the server serve what the workspace says."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_context, on_a_server, pass_app


@command("sync", examples="tritonpm sync\ntritonpm sync --context prod")
@on_a_server
@on_a_context
@pass_app
def sync_command(app: App) -> None:
    """Make the server serve what the workspace records; models that belong to no package here are left alone."""
    if app.context:
        from tritonpm.cli.fleet_sync import synchronise

        synchronise(app)
        return
    from tritonpm.core.errors import ServerError
    from tritonpm.operations.sync import sync

    failed, done = [], ""
    with app.open() as context:
        for done, name, reason in sync(context):
            app.say(f"{name} could not be {done}: {reason}" if reason else f"{done.capitalize()} {name}.")
            failed += [name] if reason else []
    if not done:
        app.say("Nothing to do.")
    if failed:
        raise ServerError(f"{', '.join(failed)} could not be synchronised", do="see `tritonpm status`")

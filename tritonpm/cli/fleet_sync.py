"""A context's synchronising, which `sync --context` does as well as `fleet sync`."""

from __future__ import annotations

from tritonpm.cli.app import App
from tritonpm.fleet.waves import Pace


def synchronise(app: App, pace: Pace | None = None) -> None:
    """Make every server of a context serve what it shall, and tell what was done."""
    from tritonpm.core.errors import ServerError
    from tritonpm.operations.fleet.sync import sync

    failed = []
    with app.open() as context:
        for server, done, reason in sync(context, app.context, pace or Pace()):
            if reason or done:
                app.say(f"{server}: {reason or done}.")
            failed += [server] if reason else []
    if failed:
        raise ServerError(f"{', '.join(failed)} could not be synchronised", do="see `tritonpm fleet status`")

"""A context's fleet, and its synchronising, which `sync --context` does as well as `fleet sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App
from tritonpm.fleet.waves import Pace

if TYPE_CHECKING:
    from tritonpm.operations.fleet.servers import Fleet


def fleet_of(app: App) -> Fleet:
    """The servers of the context that was named, or that is the current one. Raises UsageError, NotFoundError."""
    from tritonpm.operations.fleet.servers import Fleet

    return Fleet(app.serving(), app.context)


def synchronise(app: App, pace: Pace | None = None) -> None:
    """Make every server of a context serve what it shall, and tell what was done."""
    from tritonpm.core.errors import ServerError

    failed = []
    for server, done, reason in fleet_of(app).sync(pace or Pace()):
        if reason or done:
            app.say(f"{server}: {reason or done}.")
        failed += [server] if reason else []
    if failed:
        raise ServerError(f"{', '.join(failed)} could not be synchronised", do="see `tritonpm fleet status`")

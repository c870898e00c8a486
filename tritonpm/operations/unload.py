"""`tritonpm unload`: a package leaves the server, with the members that no other cascade needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, ServerError
from tritonpm.core.rollback import UNKNOWN
from tritonpm.operations.audit import audited
from tritonpm.operations.in_place import is_in_place, unload_in_place
from tritonpm.operations.local_repository import changing
from tritonpm.operations.server import connect, has_server, is_loaded
from tritonpm.operations.usage import require_unused
from tritonpm.triton.ensembles import joined_by, unload_unneeded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

TIMEOUT = 60.0  # seconds until a model must be gone


@audited("unload", "force")
def unload(
    context: Context, name: str, *, force: bool = False, dependents: bool = False, timeout: float = TIMEOUT
) -> None:
    """Unload a package, and the members that no other cascade needs; `dependents`: what is built on it, too.

    Where the workspace's server does not run, the package does not come back with it. A model of a server that was
    named, and no package here, is unloaded, too.

    Raises ServerError, NotFoundError; BusyError while it is in use.
    """
    if is_in_place(context, name):
        unload_in_place(context, name, dependents=dependents, timeout=timeout)
        return
    if not force:
        require_unused(context, name, "wait until they are done, or use --force")
    if not has_server(context) and _unwish(context, name):
        return
    with connect(context, load_timeout=timeout) as client, changing(context, f"unload {name}"):
        context.catalogue.require(name)
        above = joined_by(client, name)  # of ours adopted ensembles only: a cascade has members of its own
        if above and not dependents:
            what = f"{name} is a part of {', '.join(above)}, which the server has loaded"
            raise BusyError(what, do="unload that first, or use --dependents")
        with context.progress(f"Unloading {name}"):
            ours = {entry.name for entry in context.catalogue.packages()}
            for ensemble in above:
                if ensemble in ours:
                    withdraw(context, client, ensemble, timeout=timeout)
                else:
                    client.unload_and_wait(ensemble, timeout=timeout)
            withdraw(context, client, name, timeout=timeout)


def _unwish(context: Context, name: str) -> bool:
    """Record that it shall not be loaded; False where a server has been started meanwhile, which may have it loaded."""
    with changing(context, f"unload {name}"):
        if has_server(context):
            return False
        _wanted_no_more(context, name)
        return True


def _wanted_no_more(context: Context, name: str) -> None:
    context.catalogue.require(name)
    status = "ready" if context.catalogue.current(name) else "imported"
    context.catalogue.set_status(name, status, wanted=False)


def withdraw(context: Context, client: Client, name: str, *, timeout: float = TIMEOUT) -> None:
    """`unload`, for who holds the workspace's lock and a connection, and has asked whether it may go."""
    try:
        client.unload_and_wait(name, timeout=timeout)
        unload_unneeded(client, _models_ever(context, name))
    except ServerError as error:
        raise ServerError(f"{name} could not be unloaded: {error.what}", do=UNKNOWN) from None
    _wanted_no_more(context, name)


def unload_old(context: Context, client: Client, name: str) -> None:
    """Members of earlier revisions, and what a killed switch was rehearsing, go once nothing needs them.

    All that is named NAME.… is of this package: public names have no dot. Raises ServerError.
    """
    stale = {model for model in client.serving() if model.startswith(f"{name}.")}
    unload_unneeded(client, stale | _models_ever(context, name))


def _models_ever(context: Context, name: str) -> set[str]:
    """The models of all revisions of a package, but for those that are packages: it may have been named so once."""
    return context.catalogue.models_ever(name) - {entry.name for entry in context.catalogue.packages()}


def require_unloaded(context: Context, name: str) -> None:
    """Raise BusyError where the package is loaded; members of it that were left loaded are not in the way."""
    context.catalogue.require(name)
    if is_loaded(context, name):
        raise BusyError(f"{name} is loaded", do=f"`tritonpm unload {name}` first")
    if has_server(context):
        with connect(context) as client:
            unload_old(context, client, name)

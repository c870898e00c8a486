"""The server of a workspace: the one that it runs itself, or the one that was named; connections to it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core import python
from tritonpm.core.errors import NoServerError, ServerError
from tritonpm.core.files import require_file
from tritonpm.triton import embedded, restricted, stubs
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection
from tritonpm.triton.log import size

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_LOOK_EVERY = 0.2  # seconds
RETURN = 60.0  # seconds for which a change waits for a server that is being started again


def own_server(context: Context) -> embedded.Server | None:
    """The server that this workspace runs, where it is asked for no other."""
    return embedded.running(context.workspace.server) if context.server is None else None


def has_server(context: Context) -> bool:
    """Whether there is a server to ask: one that was named, or the workspace's own."""
    return context.server is not None or own_server(context) is not None


@contextmanager
def connect(
    context: Context, protocol: str = "http", *, load_timeout: float = 600.0, timeout: float | None = None
) -> Iterator[Client]:
    """A connection; `timeout` (seconds) is for who waits less. Raises ServerError where there is no server."""
    connection, seen = Connection.to(context.server), None
    with ExitStack() as around:
        if connection is None:
            server = own_server(context)
            if server is None:
                do = "start one with `tritonpm serve --detach`"
                raise NoServerError("no server is running for this workspace", do=do)
            around.enter_context(embedded.guarded(server, context.workspace.server))
            url = server.http if protocol == "http" else server.grpc
            wanted = restricted.headers(server.arguments)
            connection, seen = Connection(url, wanted, grpc=server.grpc), partial(stubs.abandoned, server)
        if timeout is not None:
            connection = replace(connection, timeout=min(timeout, connection.timeout))
        client = around.enter_context(Client.of(connection, protocol=protocol, load_timeout=load_timeout))
        client.abandoned = seen
        yield client


def require_live(client: Client) -> None:
    """Raise ServerError where nobody answers."""
    if not client.live():
        raise ServerError("no Triton answers", where=client.where, do="start one, or check the URL")


def await_return(context: Context, seconds: float = RETURN) -> None:
    """Where the workspace's own server has just ended, and somebody starts it again: until it answers.

    Raises ServerError where it does not in time.
    """
    if has_server(context) or not keep_supervised(context):
        return
    await_server(context, seconds)
    if not has_server(context):
        what = f"the server has ended, and was not back within {seconds:g} s"
        raise ServerError(what, where=str(context.workspace.server), do="see `tritonpm logs`, and try again")


def keep_supervised(context: Context) -> bool:
    """Whether somebody keeps the workspace's own server alive; where they were killed, somebody else does from now."""
    state = context.workspace.server
    if lost := embedded.supervision_lost(state):
        supervise_detached(context)
    return lost or embedded.supervised(state)


def supervisor_command(context: Context) -> list[str]:
    """The command that keeps the workspace's own server alive."""
    return python.module("tritonpm.operations.supervise", str(context.workspace.root))


def supervise_detached(context: Context) -> None:
    """Have a process of its own keep the server alive that was started detached."""
    place = context.workspace.server / embedded.SUPERVISOR_LOG
    require_file(place)
    with place.open("ab") as log:
        subprocess.Popen(
            supervisor_command(context),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def is_loaded(context: Context, name: str) -> bool:
    """Whether the server has the package's model; False where no server runs."""
    if not has_server(context):
        return False
    with connect(context) as client:
        return client.ready(name)


def await_server(context: Context, seconds: float) -> None:
    """Until a server answers, at most so long; whoever needs it then says that there is none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(ServerError), connect(context) as client:
            if client.live():
                return
        time.sleep(_LOOK_EVERY)


def address_of(context: Context) -> str:
    """The URL of the server that was named; "" is the workspace's own."""
    connection = Connection.to(context.server)
    return connection.url if connection else ""


def is_elsewhere(context: Context, server: str) -> bool:
    """Whether a package's server (of its entry) was named, and is another one than that of now."""
    return server not in ("", address_of(context))


def log_size(context: Context) -> int:
    """Bytes of the log of the workspace's own server: where what it says next begins."""
    server = own_server(context)
    return size(Path(server.log)) if server else 0


def reason_in_log(context: Context, what: str, name: str, offset: int) -> str:
    """Where Triton says only that it failed to poll, its log says why."""
    server = own_server(context) if "failed to poll" in what else None
    reasons = embedded.reasons(Path(server.log), name, offset=offset) if server else []
    return (reasons[-1] if reasons else what).rstrip(".; ")

"""Keeps the embedded server alive, as `python -m tritonpm.operations.supervise ROOT` or within `tritonpm serve`.

A server that ends without having been told to is started again, on the same addresses, after a pause that grows; what
was proved is loaded again. One that hangs is ended first. One that ends again and again is given up, with the reason
from its log.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, ServerError, TritonpmError
from tritonpm.operations.context import open_context
from tritonpm.operations.on_demand import Idle
from tritonpm.operations.serve import load_all_proved, serve
from tritonpm.operations.server import await_server, own_server
from tritonpm.operations.stop import unload_recorded
from tritonpm.triton import embedded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

RESTARTS = 5  # ends in a row, each within STEADY seconds of its start
STEADY = 10.0
_GRACE = 5.0  # seconds from TERM to KILL of a server that hangs
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # seconds before the next start, doubled each time
_LOOK_EVERY, _IDLE_EVERY = 0.2, 2.0
_START, _ANSWER = 60.0, 10.0  # seconds until a server must be live; for one answer of it
HANGS = 30.0  # seconds for which a server may answer nobody: a long load blocks some of its threads, never all


def supervise(context: Context, say: Callable[[str], None]) -> None:
    """Until the server is told to stop; where somebody else supervises it, first until they do not.

    Raises ServerError where it does not stay alive.
    """
    with embedded.supervising(context.workspace.server):
        _supervise(context, say)


def _supervise(context: Context, say: Callable[[str], None]) -> None:
    server, ends, state = own_server(context), 0, context.workspace.server
    while server is not None:
        started = time.monotonic()
        _stay(context, server, say)
        if embedded.told_to_stop(state):
            return
        ends = ends + 1 if time.monotonic() - started < STEADY else 1
        reason = embedded.last_words(Path(server.log))
        if ends >= RESTARTS:
            unload_recorded(context)
            raise ServerError(
                f"tritonserver ended {ends} times within {STEADY:g} s of its start: {reason}",
                where=server.log,
                do="mend what the log says, then `tritonpm serve`",
            )
        pause = min(_LONGEST_PAUSE, _PAUSE * 2 ** (ends - 1))
        say(f"tritonserver has ended ({reason}); it is started again in {pause:g} s")
        time.sleep(pause)
        if embedded.told_to_stop(state):
            return
        server = _again(context, server, say)


def stay(context: Context, say: Callable[[str], None]) -> None:
    """Stay with the server and keep it alive, until we are interrupted; then end it. Raises ServerError."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        supervise(context, say)
    except KeyboardInterrupt:
        pass
    finally:
        if server := own_server(context):
            embedded.stop(server, context.workspace.server)
        unload_recorded(context)


def start(context: Context) -> tuple[str, list[str]]:
    """Have the workspace's server run, detached and supervised: its version, and which packages did not come back.

    Where it runs already, or its supervisor is quicker, that is well. Raises ServerError, BusyError.
    """
    try:
        addresses = serve(context, None, detach=True, timeout=_START)
    except BusyError:
        await_server(context, _START)
        server = own_server(context)
        if server is None or not embedded.answers(server, within=_ANSWER):
            raise
        return server.version, []
    failed = [name for name, reason in load_all_proved(context) if reason]
    supervise_detached(context)
    return addresses.version, failed


def supervise_detached(context: Context) -> None:
    """Have a process of its own keep the server alive that was started detached."""
    with (context.workspace.server / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tritonpm.operations.supervise", str(context.workspace.root)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _stay(context: Context, server: embedded.Server, say: Callable[[str], None]) -> None:
    """Until the server has ended; one that hangs is ended, and packages that are idle are unloaded."""
    answered = looked = time.monotonic()
    idle = Idle(context)
    while server.alive:
        time.sleep(_LOOK_EVERY)
        if embedded.answers(server, within=HANGS):
            answered = time.monotonic()
            if answered - looked >= _IDLE_EVERY:
                looked = answered
                for name in idle.look():
                    say(f"{name} was idle and is unloaded")
        elif server.alive and time.monotonic() - answered > HANGS:
            say(f"tritonserver has answered nobody for {HANGS:g} s; it is ended")
            embedded.end(server, context.workspace.server, timeout=_GRACE)


def _again(context: Context, before: embedded.Server, say: Callable[[str], None]) -> embedded.Server:
    """Start it on the addresses that it had, and load what was proved; a set that kills it is found by its end."""
    ports = {f"{name}_port": int(getattr(before, name).rpartition(":")[2]) for name in ("http", "grpc", "metrics")}
    host = before.http.rpartition(":")[0]
    try:
        serve(context, None, detach=True, timeout=_START, host=host, arguments=before.arguments, **ports)
    except TritonpmError as error:
        say(str(error))
        return own_server(context) or before  # somebody was quicker: theirs is the one to stay with
    for name, reason in load_all_proved(context):
        say(f"{name} could not be loaded again: {reason}" if reason else f"Loaded {name} again")
    return own_server(context) or before


def main() -> None:
    """Supervise the server of the workspace that is named."""
    with open_context(Path(sys.argv[1])) as context:
        try:
            supervise(context, lambda sentence: print(f"{time.strftime('%F %T')} {sentence}", flush=True))  # noqa: T201
        except ServerError as error:
            print(error, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

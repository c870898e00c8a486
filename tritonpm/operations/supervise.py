"""Keeps the embedded server alive, as `python -m tritonpm.operations.supervise ROOT` or within `tritonpm serve`.

A server that ends without having been told to is started again, on the same addresses, after a pause that grows; what
was loaded is loaded again. One that hangs is ended first. One that ends again and again is given up, with the
reason from its log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tritonpm.core.errors import ServerError, TritonpmError
from tritonpm.operations.manager import Manager
from tritonpm.operations.on_demand import Idle
from tritonpm.operations.serving import Serving
from tritonpm.triton import embedded

MOST = 5  # ends in a row, each within STEADY seconds of its start
STEADY = 10.0
_GRACE = 5.0  # seconds from TERM to KILL of a server that hangs
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # seconds before the next start, doubled each time
_LOOK_EVERY, _IDLE_EVERY = 0.2, 2.0
HANGS = 30.0  # seconds for which a server may answer nobody: a long load blocks some of its threads, never all


def supervise(serving: Serving, say: Callable[[str], None]) -> None:
    """Until the server is told to stop. Raises ServerError where it does not stay alive."""
    server, ends = serving.server, 0
    while server is not None:
        started = time.monotonic()
        _stay(serving, server, say)
        if embedded.told_to_stop(serving.state):
            return
        ends = ends + 1 if time.monotonic() - started < STEADY else 1
        why = embedded.last_words(Path(server.log))
        if ends >= MOST:
            raise ServerError(
                f"tritonserver ended {ends} times within {STEADY:g} s of its start: {why}",
                where=server.log,
                do="mend what the log says, then `tritonpm serve`",
            )
        pause = min(_LONGEST_PAUSE, _PAUSE * 2 ** (ends - 1))
        say(f"tritonserver has ended ({why}); it is started again in {pause:g} s")
        time.sleep(pause)
        if embedded.told_to_stop(serving.state):
            return
        server = _again(serving, server, say)


def _stay(serving: Serving, server: embedded.Server, say: Callable[[str], None]) -> None:
    """Until the server has ended; one that hangs is ended, and packages that are idle are unloaded."""
    answered = looked = time.monotonic()
    idle = Idle(serving)
    while server.alive:
        time.sleep(_LOOK_EVERY)
        if embedded.answers(server):
            answered = time.monotonic()
            if answered - looked >= _IDLE_EVERY:
                looked = answered
                for name in idle.look():
                    say(f"{name} was idle and is unloaded")
        elif server.alive and time.monotonic() - answered > HANGS:
            say(f"tritonserver has answered nobody for {HANGS:g} s; it is ended")
            embedded.end(server, serving.state, timeout=_GRACE)


def _again(serving: Serving, before: embedded.Server, say: Callable[[str], None]) -> embedded.Server | None:
    """Start it on the addresses that it had, and load what was loaded; a set that kills it is found by its end."""
    ports = {f"{name}_port": int(getattr(before, name).rpartition(":")[2]) for name in ("http", "grpc", "metrics")}
    host = before.http.rpartition(":")[0]
    try:
        serving.serve(None, detach=True, timeout=60.0, host=host, arguments=before.arguments, **ports)
    except TritonpmError as error:
        say(str(error))
        return before
    for name, reason in serving.load_wanted():
        say(f"{name} could not be loaded again: {reason}" if reason else f"Loaded {name} again")
    return serving.server


def main() -> None:
    """Supervise the server of the workspace that is named."""
    serving = Serving(Manager.open(Path(sys.argv[1])))
    try:
        supervise(serving, lambda sentence: print(f"{time.strftime('%F %T')} {sentence}", flush=True))  # noqa: T201
    except ServerError as error:
        print(error, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

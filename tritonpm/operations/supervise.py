"""Keeps the embedded server alive, as a process of its own (`server.supervisor_command`) or within `tritonpm serve`.

A server that ends without having been told to is started again, on the same addresses, after a pause that grows; what
was proved is loaded again, but for a package that ends the server each time: that one is set aside by name. A server
that hangs is ended first. One that ends again and again is given up, with the reason from its log. Where the supervisor
itself is killed, its successor takes over, which waits for nothing else.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, ServerError, TritonpmError
from tritonpm.operations import successor
from tritonpm.operations.audit import audited
from tritonpm.operations.context import open_context
from tritonpm.operations.left_over import unload_rehearsals
from tritonpm.operations.on_demand import Idle
from tritonpm.operations.revive import stubs_replaced
from tritonpm.operations.serve import load_all_proved, load_missing, serve, set_aside, start_again
from tritonpm.operations.server import await_server, own_server, supervise_detached, supervisor_command
from tritonpm.operations.stop import unload_recorded
from tritonpm.triton import embedded
from tritonpm.triton.log import size

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

RESTARTS = 5  # ends in a row, each within STEADY seconds of its start
STEADY = 10.0
CRASHES, KILLS = 2, 3  # ends in a row while a package was being loaded, after which it is set aside: by a signal of the
# server's own making, which its log tells, or by one that says nothing, which may be somebody's KILL
_SILENT = "its log does not say why"
_GRACE = 5.0  # seconds from TERM to KILL of a server that hangs
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # seconds before a start that is not the first, doubled each time
_LOOK_EVERY, _IDLE_EVERY = 0.2, 2.0
_START, _ANSWER = 60.0, 10.0  # seconds until a server must be live; for one answer of it
_HAND_OVER = 10.0  # seconds that a supervisor whose server was stopped may take to end
HANGS = 30.0  # seconds for which a server may answer nobody: a long load blocks some of its threads, never all

Say = Callable[[str], None]


def supervise(context: Context, say: Say) -> None:
    """Until the server is told to stop; where somebody else supervises it, first until they do not.

    Raises ServerError where it does not stay alive.
    """
    with embedded.supervising(context.workspace.server):
        _supervise(context, say, lambda: None)


def _supervise(context: Context, say: Say, each_look: Callable[[], None]) -> None:
    """Also of a server that has ended before the first look: what was written down of it last tells which."""
    state = context.workspace.server
    server, suspects, ends, since = own_server(context) or embedded.recorded(state), Counter[str](), 0, 0
    if server is not None and server.alive:
        since = size(Path(server.log))
    whole = True  # whether all was back when it ended, so that no package is to blame
    while server is not None and not embedded.told_to_stop(state):
        started = time.monotonic()
        culprit = ""
        with stubs_replaced(context, server, say), _hanging_ended(context, server, say):
            if server.alive:
                culprit = _bring_back(context, server, say, suspects, since, at_once=whole)
                whole = server.alive
            _stay(context, server, say, each_look)
        if embedded.told_to_stop(state):
            return
        words = embedded.last_words(Path(server.log), since)
        if whole and not _by_itself(words):
            ends = 1  # somebody has ended it, and may do so again
        elif not culprit:  # else the package is counted, and set aside in time
            ends = ends + 1 if time.monotonic() - started < STEADY else 1
        if ends >= RESTARTS:
            unload_recorded(context)
            embedded.tell_to_stop(state)  # who waits to supervise it is not to begin anew
            raise ServerError(
                f"tritonserver ended {ends} times within {STEADY:g} s of its start: {words or _SILENT}",
                where=server.log,
                do="fix what the log reports, then `tritonpm serve`",
            )
        pause = min(_LONGEST_PAUSE, _PAUSE * (2 ** max(0, ends - 1) - 1))
        say(f"tritonserver has ended ({words or _SILENT}); it is started again in {pause:g} s")
        time.sleep(pause)
        if embedded.told_to_stop(state):
            return
        embedded.note_restart(state, words or _SILENT)
        since = size(Path(server.log))
        server = _again(context, server, say)
        whole = whole and server.alive


def _by_itself(words: str) -> bool:
    """Whether a server ended by a fault of its own, which it tells before it goes; a KILL leaves it no time."""
    return words.startswith("Signal ")


def stay(context: Context, say: Say) -> None:
    """Stay with the server and keep it alive, until we are interrupted; then end it. Raises ServerError."""
    with ended_with_us(context), suppress(KeyboardInterrupt):
        supervise(context, say)


@contextmanager
def ended_with_us(context: Context) -> Iterator[None]:
    """The workspace's server ends with the block, however that ends; TERM interrupts it as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if server := own_server(context):
            embedded.stop(server, context.workspace.server)
        unload_recorded(context)


@audited("serve")
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
    supervise_detached(context)
    failed = [name for name, reason in load_all_proved(context) if reason]
    return addresses.version, failed


def _bring_back(
    context: Context, server: embedded.Server, say: Say, suspects: Counter[str], since: int, *, at_once: bool
) -> str:
    """Load what was proved and does not serve; the package during whose load the server ended, "" for none.

    Those that were loaded when it ended come last, so that the others serve meanwhile.
    """
    for name, reason in load_missing(context, server, suspects, at_once=at_once):
        if not reason or server.alive:
            suspects.pop(name, None)
            say(f"{name} could not be loaded again: {reason}" if reason else f"Loaded {name} again")
            continue
        suspects[name] += 1
        words = embedded.last_words(Path(server.log), since)
        if suspects[name] >= (CRASHES if _by_itself(words) else KILLS):
            say(set_aside(context, name, words or _SILENT))
            del suspects[name]
        return name
    return ""


def _stay(context: Context, server: embedded.Server, say: Say, each_look: Callable[[], None]) -> None:
    """Until the server has ended; packages that are idle, and what killed changes left over, are unloaded."""
    looked, idle = time.monotonic(), Idle(context)
    while server.alive:
        time.sleep(_LOOK_EVERY)
        each_look()
        if time.monotonic() - looked < _IDLE_EVERY:
            continue
        looked = time.monotonic()
        embedded.remember_again(context.workspace.server, server)
        for name in idle.look():
            say(f"{name} was idle and is unloaded")
        for name in unload_rehearsals(context):
            say(f"{name} was left over by a change that was killed, and is unloaded")


@contextmanager
def _hanging_ended(context: Context, server: embedded.Server, say: Say) -> Iterator[None]:
    """For as long as the block lasts a server that hangs is ended, whatever else is asked of it and waited for."""
    done = Event()

    def watch() -> None:
        answered = time.monotonic()
        while not done.wait(_LOOK_EVERY) and server.alive:
            if embedded.answers(server, within=HANGS):
                answered = time.monotonic()
            elif server.alive and time.monotonic() - answered > HANGS:
                say(f"tritonserver has not answered for {HANGS:g} s; it is ended")
                embedded.end(server, context.workspace.server, timeout=_GRACE)

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _again(context: Context, before: embedded.Server, say: Say) -> embedded.Server:
    """Start it on the addresses that it had, once they are free; a set that kills it is found by its end."""
    ports = {f"{name}_port": port for name, port in embedded.ports_of(before).items()}
    host = before.http.rpartition(":")[0]
    unload_recorded(context)
    pause = _PAUSE
    while not embedded.told_to_stop(context.workspace.server):
        try:
            start_again(context, None, detach=True, timeout=_START, host=host, arguments=before.arguments, **ports)
        except embedded.AddressTakenError as error:  # that is no fault of the server, and may pass
            say(f"{error}; it is tried again in {pause:g} s")
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
            continue
        except TritonpmError as error:
            say(str(error))
        break
    return own_server(context) or before  # where somebody was quicker, theirs is the one to stay with


@contextmanager
def _succeeded(context: Context) -> Iterator[Callable[[], None]]:
    """Somebody waits to take over; what is yielded replaces them where they were killed. At the end nobody waits."""
    lock = embedded.supervisor_lock(context.workspace.server)
    command = [sys.executable, "-I", "-S", successor.__file__, str(lock), *supervisor_command(context)]
    waiting: list[subprocess.Popen[bytes]] = []

    def replace() -> None:
        if not waiting or waiting[-1].poll() is not None:
            waiting[:] = [subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)]

    replace()
    try:
        yield replace
    finally:
        for process in waiting:
            process.kill()
            process.wait()


def main() -> None:
    """Supervise the server of the workspace that is named."""

    def say(sentence: str) -> None:
        print(f"{time.strftime('%F %T')} {sentence}", flush=True)  # noqa: T201

    with (
        open_context(Path(sys.argv[1])) as context,
        suppress(BusyError),  # somebody else does
        embedded.supervising(context.workspace.server, detached=True, within=_HAND_OVER),
        _succeeded(context) as each_look,
    ):
        try:
            _supervise(context, say, each_look)
        except ServerError as error:
            say(str(error))


if __name__ == "__main__":
    main()

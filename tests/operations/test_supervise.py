"""What dies comes back: the server, who keeps it alive, the processes of its models; and nobody is told otherwise."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import TRITONPM, run, run_apart
from tests.support.load import serving_answer
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.python_models import ANSWER, HEAD, python_model
from tests.support.supervised import keepers, kill_server, kill_stub, log_of, successors, supervised, supervisor
from tests.support.waiting import PATIENCE, until
from tests.support.workspaces import QUICKLY, opened, running
from tritonpm.core.errors import BusyError, NotFoundError, ServerError, StorageError, TritonpmError
from tritonpm.operations import canary
from tritonpm.operations import supervise as supervising
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.reload import reload
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import load_all_proved, serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change_live
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.triton import embedded

ANYWHERE = ("--http-port", 0, "--grpc-port", 0, "--metrics-port", 0)
KILLS = int(os.environ.get("TRITONPM_KILLS", "3"))
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
# Ends the server at the start of its process, where the file is there: as a model whose warm-up ends it would. The server
# says which signal it got; one that it did not make itself it survives.
FATAL = """
    def initialize(self, arguments):
        import os, pathlib, signal, time
        if pathlib.Path({flag!r}).exists():
            os.kill(os.getppid(), signal.SIGSEGV)
            time.sleep(0.5)
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, python_backends: None) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("supervised")
    init(folder / "a workspace")
    context = opened(folder / "a workspace")
    import_package(context, single(folder / "in", scaled(2.0)))
    import_package(context, cascade(folder / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    python_model(folder / "models", "py", HEAD + ANSWER, "max_batch_size: 0\n")
    import_package(context, folder / "models/py", allow_code=True)
    with supervised(context):
        for name in ("p", "c", "py"):
            load(context, name)
        yield context


def answering(context: Context) -> bool:
    try:
        with connect(context) as client:
            client.infer("py", {"X": np.zeros(4, np.float32)})
        return (serving_answer(context, "p"), serving_answer(context, "c")) == (2.0, 6.0)
    except TritonpmError:
        return False


def back(context: Context) -> None:
    until(lambda: answering(context), lambda: log_of(context))
    until(lambda: status(context).drift == (), lambda: status(context).drift)
    # What answers already may still be proved again: who kills the supervisor now finds it half done.
    until(lambda: all(context.catalogue.get(name).status == "loaded" for name in ("p", "c", "py")))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("model", ["p", "first", "py"])
def test_a_dead_stub_is_replaced_while_nobody_does_anything(context: Context, model: str, number: int) -> None:
    before = running(context)
    kill_stub(context, model, number)
    back(context)
    assert running(context) == before
    assert f"{number.name}" in log_of(context)  # type: ignore[attr-defined]


def test_a_supervisor_that_is_killed_has_a_successor(context: Context) -> None:
    for _ in range(2):  # who takes over has one, too
        before = supervisor(context)
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: supervisor(context) not in (0, before))
        until(lambda: successors(context))
    assert status(context).restarts is None
    killed = kill_server(context)
    back(context)
    assert running(context).http == killed.http
    again = status(context).restarts
    assert again is not None
    assert (again.count, again.reason) == (1, "its log does not say why")


def test_a_successor_that_is_killed_is_replaced(context: Context) -> None:
    (before,) = until(lambda: successors(context))
    os.kill(before, signal.SIGKILL)
    until(lambda: successors(context) not in ([], [before]))


def test_where_supervision_is_lost_status_says_so_and_the_next_change_brings_it_back(context: Context) -> None:
    waiting = until(lambda: successors(context))
    os.kill(first := supervisor(context), signal.SIGSTOP)  # else it may start another successor before it is killed
    for pid in (*waiting, first):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not keepers(context))
    (sentence,) = status(context).drift
    assert "its supervisor was killed" in sentence
    assert list(sync(context)) == []
    until(lambda: supervisor(context))
    assert status(context).drift == ()
    kill_server(context)
    back(context)


def test_what_is_written_down_of_the_server_may_be_lost(context: Context, tmp_path: Path) -> None:
    before, record = running(context), context.workspace.server / "server.json"
    for spoil in (record.unlink, lambda: record.write_text("{"), lambda: record.write_text("")):
        spoil()
        found = running(context)
        assert (found.pid, found.http, found.grpc, found.metrics) == (
            before.pid, before.http, before.grpc, before.metrics,
        )  # fmt: skip
        assert (found.arguments, found.log, found.born) == (before.arguments, before.log, before.born)
        with pytest.raises(BusyError, match=f"pid {before.pid}"):
            serve(context, None, **QUICKLY)
    until(lambda: embedded.recorded(context.workspace.server))


def test_an_upgrade_while_the_server_is_down_for_a_moment_is_rehearsed(context: Context, tmp_path: Path) -> None:
    kill_server(context)
    with pytest.raises(ServerError, match="NaN"):
        upgrade(context, "p", single(tmp_path / "bad", logarithm()))
    back(context)
    kill_server(context)
    assert upgrade(context, "p", single(tmp_path / "good", scaled(5.0))) is not None
    assert serving_answer(context, "p") == 5.0
    kill_server(context)
    upgrade(context, "p", single(tmp_path / "again", scaled(2.0)))
    back(context)


def test_what_is_asked_for_while_the_server_is_down_for_a_moment_waits_for_it(context: Context, tmp_path: Path) -> None:
    for ask in (lambda: load(context, "p"), lambda: list(sync(context)), lambda: reload(context, "c")):
        kill_server(context)
        ask()
        back(context)
    kill_server(context)
    canary.start(context, "p", single(tmp_path / "five", scaled(5.0)), {})
    assert serving_answer(context, "p-canary") == 5.0
    kill_server(context)
    canary.promote(context, "p")
    assert serving_answer(context, "p") == 5.0
    upgrade(context, "p", single(tmp_path / "two", scaled(2.0)))
    kill_server(context)
    canary.start(context, "p", None, {"max_batch_size": 3})
    kill_server(context)
    canary.abort(context, "p")
    back(context)
    assert "p-canary" not in {entry.name for entry in context.catalogue.packages()}


@pytest.mark.long
def test_a_canary_in_which_the_server_is_killed_is_made_or_is_not(context: Context, tmp_path: Path) -> None:
    contents = [(single(tmp_path / "five", scaled(5.0)), 5.0), (single(tmp_path / "bad", logarithm()), 0.0)]
    contents.append((single(tmp_path / "two", scaled(2.0)), 2.0))
    dice, served = random.Random(9), 2.0
    for number in range(KILLS):
        source, answer = contents[number % len(contents)]
        for step in (partial(canary.start, context, "p", source, {}), partial(canary.promote, context, "p")):
            killer = threading.Timer(dice.random() * 2, os.kill, (running(context).pid, signal.SIGKILL))
            killer.start()
            try:
                step()
            except TritonpmError:
                after = {served, answer} - {0.0} if step.func is canary.promote else {served}
            else:
                after = {answer if step.func is canary.promote else served}
            killer.join()
            until(lambda after=after: _answer(context) in after, lambda: log_of(context))
            served = _answer(context)
            until(lambda: status(context).drift == (), lambda: status(context).drift)
        with suppress(NotFoundError):
            canary.abort(context, "p")
    upgrade(context, "p", contents[-1][0])
    back(context)


def test_a_change_in_which_the_server_is_killed_is_made_or_is_not(context: Context, tmp_path: Path) -> None:
    contents = [(single(tmp_path / "two", scaled(2.0)), 2.0), (single(tmp_path / "five", scaled(5.0)), 5.0)]
    contents.append((single(tmp_path / "bad", logarithm()), 0.0))
    dice, ended = random.Random(8), [0, 0]
    changes = [
        *(lambda one=one: (upgrade(context, "p", one[0]), one[1])[1] for one in contents),
        lambda: (change_live(context, "p", {"max_batch_size": dice.randrange(2, 9)}), 0)[1],
        lambda: (rollback(context, "p"), 0)[1],
    ]
    for number in range(KILLS):
        served = {serving_answer(context, "p")}
        killer = threading.Timer(dice.random() * 2, os.kill, (running(context).pid, signal.SIGKILL))
        killer.start()
        try:
            after = changes[number % len(changes)]()
        except TritonpmError:
            ended[1] += 1
        else:
            ended[0] += 1
            served = {after} if after else {2.0, 5.0}
        killer.join()
        until(lambda served=served: _answer(context) in served, lambda: log_of(context))
        until(lambda: status(context).drift == (), lambda: status(context).drift)
        assert serving_answer(context, "p") in served
    upgrade(context, "p", contents[0][0])
    print(f"{KILLS} kills of the server in changes, of which {ended[0]} were made, nothing lost")


def test_what_a_killed_change_was_rehearsing_goes(context: Context, tmp_path: Path) -> None:
    source = single(tmp_path / "seven", scaled(7.0))
    with connect(context) as client:
        command = [*TRITONPM, "upgrade", "p", str(source), "--workspace", str(context.workspace.root)]
        upgrading = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: "p.next" in client.serving(), upgrading.poll, every=0.01)
        upgrading.kill()
        upgrading.wait()
        until(lambda: "p.next" not in client.serving(), lambda: log_of(context))
    assert serving_answer(context, "p") == 2.0
    upgrade(context, "p", single(tmp_path / "two", scaled(2.0)))
    assert status(context).drift == ()
    assert "p.next was left over by a change that was killed" in log_of(context)


def _answer(context: Context) -> float:
    try:
        return serving_answer(context, "p")
    except TritonpmError:
        return 0.0


def test_a_package_that_ends_the_server_is_set_aside_by_name(context: Context, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = HEAD.replace("    def execute", FATAL.format(flag=str(flag)) + "\n    def execute") + ANSWER
    python_model(tmp_path / "models", "bad", code, "max_batch_size: 0\n")
    import_package(context, tmp_path / "models/bad", allow_code=True)
    load(context, "bad")
    flag.touch()
    kill_server(context)
    until(lambda: not context.catalogue.get("bad").wanted, lambda: log_of(context))
    assert "tritonserver ended each time that it was loaded" in context.catalogue.get("bad").reason
    until(lambda: answering(context))
    assert any("set aside" in sentence for sentence in status(context).drift)
    flag.unlink()
    load(context, "bad")
    assert status(context).drift == ()
    unload(context, "bad")


def test_a_server_that_has_ended_before_the_first_look_comes_back(context: Context) -> None:
    """Its supervisor is killed, and it ends before the next one has begun."""
    waiting = until(lambda: successors(context))
    os.kill(first := supervisor(context), signal.SIGSTOP)  # else it may start another successor before it is killed
    for pid in (*waiting, first):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not keepers(context))
    kill_server(context)
    assert status(context).state == "stopped"
    said: list[str] = []
    keeper = threading.Thread(target=supervising.supervise, args=(opened(context.workspace.root), said.append))
    keeper.start()
    back(context)
    stop(context, 15)
    keeper.join(PATIENCE)
    assert not keeper.is_alive()
    for name, reason in load_all_proved(started(context)):
        assert reason == "", name


def started(context: Context) -> Context:
    run_apart("serve", "--detach", *ANYWHERE, workspace=context.workspace.root)
    return context


@pytest.mark.long
def test_what_reads_the_output_may_end_serve(context: Context) -> None:
    stop(context, 15)
    until(lambda: not keepers(context))
    command = f"{' '.join([*TRITONPM, 'serve', '--detach', *map(str, ANYWHERE)])} | head -1"
    environment = {"TRITONPM_WORKSPACE": str(context.workspace.root)}
    os.waitstatus_to_exitcode(os.spawnvpe(os.P_WAIT, "sh", ["sh", "-c", command], {**os.environ, **environment}))
    until(lambda: supervisor(context))
    kill_server(context)
    back(context)


@pytest.mark.parametrize("name", ["triton.log", "supervisor.log", "server.lock", "supervisor.lock", "stopping"])
def test_a_pipe_in_the_place_of_what_it_writes_is_refused_at_once(tmp_path: Path, name: str) -> None:
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    context.workspace.server.mkdir()
    place = context.workspace.server / name
    for put in (lambda: os.mkfifo(place), lambda: place.symlink_to("/nowhere/at/all"), lambda: place.symlink_to(place)):
        put()
        assert status(context).state == "stopped"
        with pytest.raises(StorageError, match="is not a file"):
            serve(context, None, **QUICKLY)
        place.unlink()


def test_a_log_that_was_deleted_stops_nothing(context: Context) -> None:
    Path(running(context).log).unlink()
    load(context, "p")
    kill_server(context)
    back(context)


def test_who_waits_begins_nothing_after_a_server_was_given_up(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(context, 15)
    until(lambda: not keepers(context))
    serve(context, None, **QUICKLY)
    monkeypatch.setattr(supervising, "RESTARTS", 1)
    said: list[str] = []
    server = running(context)

    def supervise() -> None:
        with pytest.raises(ServerError, match="ended 1 times"):
            supervising.supervise(opened(context.workspace.root), said.append)

    first = threading.Thread(target=supervise)
    first.start()
    loaded = {f"Loaded {name} again" for name in ("c", "p", "py")}
    until(lambda: loaded <= set(said), lambda: said)  # one that ends sooner was loading
    second = threading.Thread(target=supervising.supervise, args=(opened(context.workspace.root), said.append))
    second.start()
    os.kill(server.pid, signal.SIGKILL)
    for keeper in (first, second):
        keeper.join(PATIENCE)
        assert not keeper.is_alive()
    assert embedded.running(context.workspace.server) is None
    assert "No server was running." in run("stop", workspace=context.workspace.root)

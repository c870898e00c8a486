"""Whatever of it is killed, under clients that never stop asking: no answer is wrong, and all of it comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import psutil
import pytest

from tests.support.command import TRITONPM
from tests.support.consistency import apart, consistent
from tests.support.load import ONES
from tests.support.models import logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.supervised import keepers, kill_server, log_of, supervised, supervisor
from tests.support.threads import working
from tests.support.waiting import until
from tests.support.workspaces import opened, running
from tritonpm.core.errors import BusyError, TritonpmError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.optimize.jobs import cancel, start, to_optimise_for
from tritonpm.triton import compiled, embedded
from tritonpm.triton.client import Client
from tritonpm.triton.processes import stubs

KILLS = int(os.environ.get("TRITONPM_KILLS_OF_ALL", "6"))  # half of them with each kind of backends
RIGHT = {"a": {2.0}, "b": {3.0}, "c": {6.0}, "d": {5.0}, "e": {7.0, 11.0}}
LOST = 60.0  # seconds after which what was killed is called not recovered
PAUSE = 0.05  # seconds from an answer to the next question
SHARES = {"server": 3, "supervisor": 4, "manager": 5, "job": 2, "page": 1}
STUBS = {"stub": 9}  # which only Python-based backends have
MANAGER = """
import itertools, sys
from pathlib import Path
from tests.support.workspaces import opened
from tritonpm.core.errors import BusyError, TritonpmError
from tritonpm.operations import canary
from tritonpm.operations.load import load
from tritonpm.operations.rollback import rollback
from tritonpm.operations.set import change_live
from tritonpm.operations.upgrade import upgrade
context, contents, number = opened(Path(sys.argv[1])), [Path(one) for one in sys.argv[2:5]], int(sys.argv[5])
print("going", flush=True)
steps = [
    lambda: upgrade(context, "e", contents[number % 2]),
    lambda: upgrade(context, "e", contents[2]),
    lambda: change_live(context, "e", {"max_batch_size": number % 5 + 2}),
    lambda: load(context, "c"),
    lambda: canary.start(context, "e", None, {"max_batch_size": number % 3 + 7}),
    lambda: canary.promote(context, "e"),
    lambda: rollback(context, "e"),
]
for number in itertools.count(number):
    try:
        steps[number % len(steps)]()
    except TritonpmError as error:
        print(error, flush=True)
"""


class Clients:
    """Each asks one package over one protocol, one question after the other, and holds the answer against what is right."""

    def __init__(self, server: embedded.Server) -> None:
        self.server, self.stop = server, threading.Event()
        self.right: dict[str, float] = {}  # when the last question was asked that was answered rightly
        self.requests, self.wrong = 0, list[str]()
        self.gaps = defaultdict[str, list[float]](list)  # seconds after a kill, by what was killed

    def works(self) -> list[Callable[[], None]]:
        return [partial(self._ask, name, protocol) for name in RIGHT for protocol in ("http", "grpc")]

    def _ask(self, name: str, protocol: str) -> None:
        client = Client(getattr(self.server, protocol), protocol=protocol, timeout=3.0)
        while not self.stop.wait(PAUSE):
            asked = time.monotonic()
            try:
                answer = float(next(iter(client.infer(name, ONES).values()))[0, 0])
            except TritonpmError:
                client.close()  # a connection to a server that ended says nothing of the next one
                client = Client(getattr(self.server, protocol), protocol=protocol, timeout=3.0)
                continue
            finally:
                self.requests += 1
            if answer not in RIGHT[name]:
                self.wrong.append(f"{name} answered {answer} over {protocol}")
            self.right[name] = max(asked, self.right.get(name, 0.0))
        client.close()

    def recovered(self, since: float, kind: str) -> bool:
        """Wait until every package was answered a question that was asked after `since`; False where one never is."""
        deadline = since + LOST
        while not all(self.right.get(name, 0.0) > since for name in RIGHT):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        self.gaps[kind].append(max(self.right[name] for name in RIGHT) - since)
        return True


class Victims:
    """What is killed, and what is started again by hand, since nobody keeps it alive: commands, jobs, pages."""

    def __init__(self, context: Context, contents: list[Path], dice: random.Random) -> None:
        self.context, self.contents, self.dice, self.number = context, contents, dice, 0
        self.manager, self.page = self._manager(), self._page()

    def _manager(self) -> subprocess.Popen[str]:
        self.number += 1
        command = [sys.executable, "-c", MANAGER, str(self.context.workspace.root), *map(str, self.contents)]
        manager = subprocess.Popen([*command, str(self.number)], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=lambda: list(manager.stdout or ()), daemon=True).start()
        return manager

    def _page(self) -> subprocess.Popen[bytes]:
        command = [*TRITONPM, "ui", "-w", str(self.context.workspace.root), "--port", "0"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, kind: str) -> bool:
        """Whether there was one."""
        return bool(getattr(self, f"_kill_{kind}")())

    def _kill_stub(self) -> bool:
        number = self.dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
        there = [pid for pid, model in sorted(stubs(running(self.context)).items()) if ".next" not in model]
        return bool(there) and _signalled(self.dice.choice(there), number)

    def _kill_server(self) -> bool:
        return bool(kill_server(self.context))

    def _kill_supervisor(self) -> bool:
        return bool(pid := supervisor(self.context)) and _signalled(pid, signal.SIGKILL)

    def _kill_manager(self) -> bool:
        _end(self.manager)
        self.manager = self._manager()
        return True

    def _kill_page(self) -> bool:
        _end(self.page)
        self.page = self._page()
        return True

    def _kill_job(self) -> bool:
        settings = to_optimise_for(self.context, "d", {"optimizer": "openvino", "precision": "FP16"})
        with suppress(BusyError):
            if job := start(self.context, "d", settings, again=True):  # also where one was not killed in time
                pid = until(lambda: self.context.catalogue.jobs.get(job.id).pid)
                time.sleep(self.dice.random())
                return _signalled(int(pid), signal.SIGKILL)
        return False

    def end(self) -> None:
        _end(self.manager)
        _end(self.page)
        for job in self.context.catalogue.jobs.busy().values():
            cancel(self.context, job.id)


def _signalled(pid: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _not_loaded(context: Context) -> list[str]:
    return [e.name for e in context.catalogue.packages() if e.name in RIGHT and e.status != "loaded"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    init(tmp_path / "a workspace")
    context = opened(tmp_path / "a workspace")
    for name, factor in (("a", 2.0), ("b", 3.0), ("d", 5.0), ("e", 7.0)):
        import_package(context, single(tmp_path / name, scaled(factor), name=name))
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    return context


@pytest.mark.long
@pytest.mark.server
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("backends", compiled.KINDS)
def test_whatever_is_killed_comes_back(
    context: Context, tmp_path: Path, backends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiled.VARIABLE, backends)
    shares, kills = SHARES | (STUBS if backends == "python" else {}), KILLS // 2
    contents = [tmp_path / "e", single(tmp_path / "new", scaled(11.0), "e"), single(tmp_path / "bad", logarithm(), "e")]
    dice = random.Random(int(os.environ.get("TRITONPM_SEED", "14")))
    killed, lost = 0, list[str]()
    with supervised(context):
        for name in RIGHT:
            load(context, name)
        clients, victims = Clients(running(context)), Victims(context, contents, dice)
        try:
            with working(clients.works(), clients.stop):
                assert clients.recovered(time.monotonic(), "none")
                while killed < kills:
                    kind = dice.choices(list(shares), list(shares.values()))[0]
                    if embedded.running(context.workspace.server) is None:  # its stubs and its end are one kill
                        time.sleep(0.05)
                        continue
                    if not victims.kill(kind):
                        continue
                    killed += 1
                    after = time.monotonic()
                    if not clients.recovered(after, kind):
                        lost.append(f"kill {killed}, of the {kind}")
                    time.sleep(dice.random() * 0.3)
            victims.end()
            until(lambda: apart(context) == [], lambda: apart(context))
            consistent(context)
            until(lambda: not _not_loaded(context), lambda: (_not_loaded(context), log_of(context)))
        finally:
            victims.end()
        regions = running(context).regions
    assert not list(Path("/dev/shm").glob(f"{regions}*"))
    assert not keepers(context)
    root = str(context.workspace.root)
    assert [
        p.pid for p in psutil.process_iter(["cmdline"]) if any(root in part for part in p.info["cmdline"] or ())
    ] == []
    gaps = ", ".join(f"{len(of)} {kind} {median(of):.1f} to {max(of):.1f}" for kind, of in sorted(clients.gaps.items()))
    print(
        f"{backends} backends: {killed} kills, {clients.requests} requests, {len(clients.wrong)} wrong, longest gap "
        f"{max(map(max, clients.gaps.values())):.1f} s (median to longest: {gaps}), {len(lost)} not recovered"
    )
    assert kills < 200 or set(shares) <= set(clients.gaps)
    assert clients.wrong == []
    assert lost == [], log_of(context)

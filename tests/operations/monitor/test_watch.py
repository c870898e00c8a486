"""Snapshots of a real server under a real load; a ring of them; packages, servers and GPUs that come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.load import under_load
from tests.support.models import scaled
from tests.support.packages import cascade, single
from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, opened, served
from tritonpm.core.errors import UsageError
from tritonpm.hardware.machine_use import MachineUse, machine_use
from tritonpm.hardware.nvml import GpuProcess, Gpus, GpuSample, Mig
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.monitor.snapshot import Look, PackageLoad, ServerLoad, Snapshot, compose, grouped, on_gpus
from tritonpm.operations.monitor.watch import Monitor, Ring
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.stop import stop
from tritonpm.triton.processes import ProcessUse
from tritonpm.triton.statistics import Counters

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MACHINE = MachineUse(2, 10.0, 20.0, 1, 2)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, python_backends: None) -> Iterator[Context]:
    root = tmp_path_factory.mktemp("a workspace")
    with served(root) as context:
        import_package(context, single(root / "in", scaled(2.0)))
        import_package(context, cascade(root / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
        load(context, "p")
        load(context, "c")
        yield context


def package(snapshot: Snapshot, name: str) -> PackageLoad:
    [found] = [each for each in snapshot.packages if each.name == name]
    return found


def sampled_until(monitor: Monitor, true: Callable[[Snapshot], object]) -> Snapshot:
    """The first snapshot of which `true` holds."""
    taken: list[Snapshot] = []

    def look() -> bool:
        taken.append(monitor.sample())
        return bool(true(taken[-1]))

    until(look, lambda: taken[-1])
    return taken[-1]


@pytest.mark.server
def test_a_load_is_seen_where_it_is(context: Context) -> None:
    with Monitor(context.workspace) as monitor:
        first = monitor.sample()
        assert (first.number, first.seconds, package(first, "p").rates.requests_per_second) == (1, None, None)
        with under_load(context, "c", clients=2):
            taken = sampled_until(monitor, lambda s: package(s, "c").rates.requests_per_second)
        server = own_server(context)
        assert server is not None
        assert (taken.server.state, taken.server.source, taken.server.percentiles) == ("live", "metrics", True)
        assert (taken.server.pid, taken.server.address) == (server.pid, server.http)
        loaded, idle = package(taken, "c"), package(taken, "p")
        assert idle.rates.requests_per_second == 0
        assert loaded.rates.p50_us and loaded.rates.p99_us and loaded.rates.average_us and loaded.rates.compute_us
        assert {stage.name.split(".")[0] for stage in loaded.stages} == {"first", "second"}
        assert all(stage.rates.p50_us and stage.usage and stage.usage.processes == 1 for stage in loaded.stages)
        assert (idle.stages, idle.usage and idle.usage.processes) == ((), 1)
        assert loaded.usage and loaded.usage.processes == 2
        assert loaded.usage.memory_unique and loaded.usage.memory_unique < loaded.usage.memory_resident
        assert taken.machine.cpu_percent is not None and 0 <= taken.machine.cpu_percent <= 100
        assert msgspec.json.decode(msgspec.json.encode(taken), type=Snapshot) == taken


@pytest.mark.server
def test_another_server_is_asked_for_its_statistics(context: Context) -> None:
    own, workspace = own_server(context), context.workspace
    assert own is not None
    elsewhere = f"grpc://{own.grpc}"
    with Monitor(workspace, elsewhere) as monitor, under_load(context, "p", clients=1):
        taken = sampled_until(monitor, lambda s: package(s, "p").rates.requests_per_second)
        assert (taken.server.source, taken.server.percentiles, taken.server.usage) == ("statistics", False, None)
        found = package(taken, "p")
        assert found.rates.average_us and (found.rates.p50_us, found.rates.p99_us, found.usage) == (None, None, None)
    with Monitor(workspace, elsewhere, own.metrics) as monitor:
        assert package(monitor.sample(), "p").rates.p99_us is not None
    with pytest.raises(UsageError, match="not a metrics endpoint"):
        Monitor(workspace, elsewhere, "nowhere")
    with pytest.raises(UsageError, match="only for a server given with --server"):
        Monitor(workspace, None, own.metrics)


@pytest.mark.server
def test_a_ring_keeps_the_last_snapshots_and_stops(context: Context) -> None:
    ring = Ring(Monitor(context.workspace), interval=0.05, minutes=0.25 / 60)  # five
    with pytest.raises(RuntimeError, match="not started"):
        ring.snapshots()
    with ring:
        until(lambda: ring.snapshots() and ring.snapshots()[0].number > 2)
        taken = ring.snapshots()
        assert [each.number for each in taken] == list(range(taken[0].number, taken[0].number + 5))
        assert ring.snapshots(after=taken[-1].number) != taken
    assert "tritonpm-monitor" not in {thread.name for thread in threading.enumerate()}
    last = ring.snapshots()[-1].number
    assert (ring.snapshots(after=last), len(ring.snapshots())) == ([], 5)


@pytest.mark.server
@pytest.mark.usefixtures("python_backends")
def test_a_server_that_stops_and_comes_again(tmp_path: Path) -> None:
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    with Monitor(context.workspace) as monitor:
        stopped = monitor.sample()
        assert (stopped.server.state, stopped.packages) == ("stopped", ())
        assert stopped.server.reason == "no server is running for this workspace"
        try:
            server = serve(context, None, **QUICKLY)
            assert sampled_until(monitor, lambda s: s.server.state == "live").packages == ()
            load(context, "p")
            assert package(monitor.sample(), "p").rates.requests_per_second is not None
            stub = next(p for p in psutil.Process(server.pid).children(recursive=True))
            stub.kill()
            killed = sampled_until(monitor, lambda s: package(s, "p").usage.processes == 0)  # type: ignore[union-attr]
            assert killed.server.state == "live"
            psutil.Process(server.pid).suspend()
            silent = sampled_until(monitor, lambda s: s.server.state == "silent")
            assert (silent.server.state, silent.server.pid) == ("silent", server.pid)
            assert "timed out" in silent.server.reason
            psutil.Process(server.pid).resume()
            again = monitor.sample()
            assert (again.server.state, package(again, "p").rates.requests_per_second) == ("live", None)
        finally:
            stop(context, 15)
        assert monitor.sample().server.state == "stopped"


def test_the_machine_is_measured_between_two_looks() -> None:
    before = machine_use()
    assert before.percent_since(None) is None
    assert before.percent_since(before) is None
    assert MachineUse(2, 11.0, 24.0, 1, 2).percent_since(MACHINE) == 25
    assert 0 < before.memory_used < before.memory_total


MEMBERS = {"a": ("x.1", "y.2"), "b": ("x.1", "z.3")}


@given(st.sets(st.sampled_from(["a", "b", "x.1", "y.2", "z.3", "a.next", "c", "q.9"])))
def test_every_model_is_of_a_package_or_stands_alone(models: set[str]) -> None:
    found = grouped(models, MEMBERS)
    assert {model for listed in found.values() for model in listed} == models
    for name, listed in found.items():
        assert set(listed) <= {name, f"{name}.next", *MEMBERS.get(name, ())}
    for joined in {"a", "b"} & models:
        assert set(found[joined]) >= {joined, *MEMBERS[joined]} & models  # what they share is behind both


def test_a_member_is_no_package_before_its_cascade_is_loaded() -> None:
    assert grouped({"cut.95fba9e2d9e0", "digits"}, {}) == {"digits": ["digits"]}


def look(at: float, cpu: float, *counters: Counters, gpus: Gpus | None = None) -> Look:
    uses = [ProcessUse(7, 1.0, "a.x.1", cpu, 30, 20), ProcessUse(8, 1.0, "a.y.2", cpu, 30, None)]
    members = {"a": ("a.x.1", "a.y.2")}
    return Look(at, MACHINE, gpus or Gpus((), "none"), ServerLoad("live"), uses, False, counters, members)


def test_what_runs_in_the_server_s_own_process_has_no_figures_of_its_own() -> None:
    now = look(10.0, 1.0, Counters("a", "1"), Counters("alone", "1"))
    for within, processes in ((False, 0), (True, None)):
        named = {each.name: each for each in compose(1, NOW, None, replace(now, within=within)).packages}
        assert named["a"].usage.processes == 2  # type: ignore[union-attr]
        usage = named["alone"].usage
        assert (usage and usage.processes) == processes


def test_a_cascade_is_what_its_stages_are_together() -> None:
    before = look(10.0, 1.0, Counters("a", "1"), Counters("a.x.1", "1"), Counters("a.y.2", "1"))
    now = look(
        12.0, 1.5,
        Counters("a", "1", 10, 0, 10, 10, 9000, 1, 8000, 0, 800.0, 900.0),
        Counters("a.x.1", "1", 10, 0, 10, 10, 5000, 2000, 3000, 1),
        Counters("a.y.2", "1", 10, 0, 10, 10, 4000, 1000, 2000, 2),
        Counters("a.next", "1", 3, 0, 3, 3, 999, 999, 999, 4),
    )  # fmt: skip
    [found] = compose(2, NOW, before, now).packages
    rates, usage = found.rates, found.usage
    assert (rates.requests_per_second, rates.queue_us, rates.compute_us, rates.pending) == (5, 300, 500, 3)
    assert (rates.average_us, rates.p50_us, rates.p99_us) == (900, 800, 900)
    assert usage is not None
    assert (usage.processes, usage.cpu_percent, usage.memory_resident, usage.memory_unique) == (2, 50, 60, None)
    assert usage.gpu_memory is None
    assert [stage.name for stage in found.stages] == ["a.x.1", "a.y.2"]


def test_another_server_began_at_zero() -> None:
    before = replace(look(1.0, 1.0, Counters("a", "1", 10)), server=ServerLoad("live", pid=1))
    now = replace(look(3.0, 1.0, Counters("a", "1", 14)), server=ServerLoad("live", pid=2))
    [found] = compose(2, NOW, before, now).packages
    assert found.rates.requests_per_second == 7


def test_gpu_memory_is_found_by_process() -> None:
    parts = (Mig(0, "m", "u", 1, 2, (GpuProcess(8, None),)),)
    gpus = Gpus(
        (
            GpuSample(0, processes=(GpuProcess(7, 100), GpuProcess(99, 5))),
            GpuSample(1, processes=(GpuProcess(7, 10),)),
            GpuSample(2, processes=(GpuProcess(8, 1),), mig=parts),  # which counts what its parts count
            GpuSample(3, missing={"processes": "no permission to read it"}),
        )
    )
    assert on_gpus(gpus) == {7: 110, 8: None, 99: 5}
    assert on_gpus(Gpus((GpuSample(3),))) is None
    [found] = compose(1, NOW, None, look(1.0, 1.0, gpus=gpus)).packages[:1]
    assert found.usage is not None
    assert (found.name, found.usage.gpu_memory, found.usage.cpu_percent) == ("a.x.1", 110, None)

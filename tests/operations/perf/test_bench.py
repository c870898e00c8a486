"""The real perf_analyzer on a real server: every kind of input, every way to send it, pairs, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving

from tests.support.models import scaled
from tests.support.packages import cascade
from tritonpm.cli.main import main
from tritonpm.core.errors import BusyError, NotFoundError, ServerError, UsageError
from tritonpm.core.tensors import Array, save_npz
from tritonpm.operations.doctor import checks
from tritonpm.operations.perf.measure import Performance, Sweep, loads, named
from tritonpm.perf import tool
from tritonpm.perf.measurement import Workload, Measurement
from tritonpm.triton.client import Connection

pytestmark = pytest.mark.server
BRIEF = 0.3  # seconds of a measurement
Kind = tuple[str, int, list[object]]


def package(folder: Path, inputs: Kind, outputs: Kind, operator: str, *samples: Array, **attributes: int) -> Path:
    """A package of one operator from x to y, with samples."""
    folder.mkdir(parents=True)
    tensors = [helper.make_tensor_value_info(*each) for each in (inputs, outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)], "g", tensors[:1], tensors[1:]
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    for number, sample in enumerate(samples):
        save_npz(folder / f"{number}.npz", {"x": sample})
    listed = ", ".join(f"{{inputs: {number}.npz}}" for number in range(len(samples)))
    stage = f"{{name: s, model: m.onnx, samples: [{listed}]}}"
    (folder / "package.yaml").write_text(f'schema: 1\nname: {folder.name}\nversion: "1"\nstages: [{stage}]\n')
    return folder


def packages(root: Path) -> Iterator[Path]:
    ones, kind = np.ones, TensorProto
    floats, texts = (kind.FLOAT, ["b", 2, "w"]), (kind.STRING, ["b", 2])
    yield package(
        root / "dynamic", ("x", *floats), ("y", *floats), "Neg", ones((2, 2, 3), "f4"), ones((3, 2, 5000), "f4")
    )
    words = np.array([[b"a\xc3\xbc", b""], [b"xyz" * 500, b"-"]], object)
    yield package(root / "texts", ("x", *texts), ("y", *texts), "Identity", words)
    halves = (kind.FLOAT16, ["h", "w"])
    yield package(root / "whole", ("x", *halves), ("y", kind.FLOAT16, []), "ReduceSum", ones((4, 5), "f2"), keepdims=0)
    yield package(root / "bare", ("x", kind.INT64, ["b", 4]), ("y", kind.INT64, ["b", 4]), "Neg")
    fixed = (kind.FLOAT, ["b", 4])
    yield package(root / "own", ("x", *fixed), ("y", *fixed), "Neg", ones((5, 4), "f4"))
    yield cascade(root / "chain", scaled(2.0, result="m"), scaled(3.0, source="m"), "chain")


@pytest.fixture(scope="module")
def performance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Performance]:
    root = tmp_path_factory.mktemp("a workspace")
    try:
        tool.find()
    except NotFoundError:
        tool.install()
    init(root / "w")
    serving = Serving(Manager.open(root / "w"))
    serving.serve(None, detach=True, timeout=60, standard_ports=False)
    try:
        for folder in packages(root / "packages"):
            serving.manager.import_package(folder)
            if folder.name != "own":
                serving.load(folder.name)
        serving.manager.change("own", {"backend": "openvino"})
        serving.load("own")
        yield Performance(serving)
    finally:
        serving.stop(15)


def measured(performance: Performance, name: str, **load: object) -> Measurement:
    sweep = Sweep((Workload(**{"seconds": BRIEF, "concurrency": 2, **load}),))  # type: ignore[arg-type]
    found = performance.measure(name, sweep).measurements[0]
    assert found.throughput > 0
    assert len(found.windows) == 3
    assert 0 < found.latency.p50 <= found.latency.p99
    assert found.compute > 0
    assert found.energy.inferences > 0
    return found


def regions() -> set[str]:
    """The regions of shared memory that are nobody's of ours."""
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("tritonpm")}


@pytest.mark.parametrize("name", ["dynamic", "texts", "whole", "chain"])
@pytest.mark.parametrize(("protocol", "shared_memory"), [("grpc", "none"), ("http", "system")])
def test_every_kind_of_input(performance: Performance, name: str, protocol: str, shared_memory: str) -> None:
    before = regions()
    found = measured(performance, name, protocol=protocol, shared_memory=shared_memory)
    assert len(found.stages) == (2 if name == "chain" else 1)
    assert found.memory is not None
    assert regions() <= before


def test_a_result_is_kept_with_what_it_was_measured_with(performance: Performance) -> None:
    like = Workload(protocol="http", seconds=BRIEF)
    kept = performance.measure("dynamic", Sweep(loads((1,), (), (1, 3), like), price=0.5))
    assert performance.result("dynamic") == performance.result(str(kept.number)) == kept
    assert [m.load.batch for m in kept.measurements] == [1, 3]
    assert kept.measurements[1].stages[0].batch >= 3
    revision = performance.manager.catalogue.revision("dynamic")
    assert revision is not None
    assert (kept.revision, kept.revision_digest) == (1, revision.digest)
    assert kept.tools["tritonserver"] == "2.51.0"
    assert kept.storage.disk > 0
    assert kept.quality[0].state == "original"
    assert kept.settings["mode"] == "shared"


def test_a_batch_axis_that_triton_does_not_know(performance: Performance) -> None:
    found = measured(performance, "own", batch=3)
    assert found.stages[0].batch == 3
    assert found.energy.inferences == 3 * found.stages[0].requests


def test_so_many_requests_a_second(performance: Performance) -> None:
    assert measured(performance, "bare", rate=40.0).throughput == pytest.approx(40.0, rel=0.5)


def test_what_cannot_be_measured_is_refused(performance: Performance) -> None:
    with pytest.raises(UsageError, match="whole takes one inference a request"):
        measured(performance, "whole", batch=2)
    with pytest.raises(NotFoundError, match="no package 'nothing'"):
        measured(performance, "nothing")
    with pytest.raises(UsageError, match="names no revision"):
        named("bolts@x")
    performance.serving.unload("bare")
    with pytest.raises(ServerError, match="bare is not loaded"):
        measured(performance, "bare")
    performance.serving.load("bare")


def test_a_server_of_somebody_else_is_measured_by_its_plain_address(performance: Performance) -> None:
    root, own = performance.manager.workspace.root, performance.serving.server
    assert own is not None

    def against(server: Connection | str) -> Performance:
        return Performance(Serving(Manager.open(root, server=server)))

    assert measured(against(own.grpc), "dynamic").memory is None
    assert measured(against(f"http://{own.http}"), "dynamic", protocol="http").throughput > 0
    with pytest.raises(UsageError, match="not Triton's grpc address"):
        measured(against(f"http://{own.http}"), "dynamic")
    for secret in (Connection(own.grpc, headers={"authorization": "Bearer x"}), f"grpcs://{own.grpc}"):
        with pytest.raises(UsageError, match="secrets or certificates"):
            measured(against(secret), "dynamic")


def test_a_region_of_somebody_else_is_left_alone(performance: Performance) -> None:
    foreign = Path("/dev/shm/x_0_0")
    foreign.write_text("somebody's")
    try:
        with pytest.raises(BusyError, match="x_0_0"):
            measured(performance, "dynamic", shared_memory="system")
        assert foreign.read_text() == "somebody's"
    finally:
        foreign.unlink()


def test_instances_are_tried_on_a_server_of_our_own(performance: Performance) -> None:
    found = performance.measure("bare", Sweep((Workload(seconds=BRIEF),), instances=(1, 2)))
    assert [each.instances for each in found.measurements] == [1, 2]
    held = [each.memory or 0 for each in found.measurements]
    assert 0 < held[0] < held[1]
    assert not list(performance.manager.workspace.staging.iterdir())


@pytest.mark.long
def test_a_package_is_compared_with_a_revision_of_it(performance: Performance) -> None:
    found = performance.compare("dynamic@1", "dynamic", Workload(seconds=BRIEF / 2), 6)
    assert found.pairs == 6
    assert 0 < found.throughput.low <= found.throughput.ratio <= found.throughput.high
    with pytest.raises(UsageError, match="5 pairs"):
        performance.compare("dynamic@1", "dynamic", Workload(), 5)
    with pytest.raises(NotFoundError, match="no revision 7"):
        performance.compare("dynamic@7", "dynamic", Workload(), 6)


def command(performance: Performance, *arguments: object) -> list[str]:
    workspace = performance.manager.workspace.root
    return [sys.executable, "-m", main.__module__, *map(str, arguments), "-w", str(workspace)]


def test_commands(performance: Performance, tmp_path: Path) -> None:
    def said(*arguments: object, code: int = 0) -> str:
        ended = subprocess.run(
            command(performance, *arguments), capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stdout if not code else ended.stderr

    page = tmp_path / "page.html"
    table = said("perf", "chain", "--concurrency", "1:2", "--seconds", BRIEF, "--price", 1.5, "--html", page)
    assert "PER MILLION" in table
    assert "█" in table
    assert "not measurable here" in table or "INFER/J" in table
    assert page.stat().st_size > 1 << 20
    newest = json.loads(said("perf", "report", "chain", "-o", "json"))
    assert newest["kind"] == "PerfResult"
    assert [row["load"] for row in newest["data"]["figures"]["rows"]] == ["1 in flight", "2 in flight"]
    listed = json.loads(said("perf", "list", "chain", "-o", "json"))["data"]
    assert listed[0]["number"] == newest["data"]["result"]["number"]
    assert "not in the range x>0" in said("perf", "chain", "--seconds", "0", code=2)
    assert "neither a list" in said("perf", "chain", "--concurrency", "1:x", code=2)
    assert "no share" in said("perf", "gate", "chain", "--max-regression", "5", code=2)


def test_an_interrupt_ends_perf_analyzer_and_leaves_nothing(performance: Performance) -> None:
    before = regions()
    options = ("--seconds", 60, "--concurrency", 1, "--shared-memory", "system")
    process = subprocess.Popen(command(performance, "perf", "texts", *options), stderr=subprocess.PIPE, text=True)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 30
    while not (regions() - before) and time.monotonic() < deadline:
        children = psutil.Process(process.pid).children()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    assert [child.name() for child in children if child.is_running()] == []
    assert regions() <= before
    assert measured(performance, "texts", shared_memory="system").throughput > 0


def test_one_that_is_missing_or_broken_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(tool.VARIABLE, raising=False)
    with pytest.raises(NotFoundError, match="not on this machine; get it with `tritonpm perf install`"):
        tool.find()
    broken = tmp_path / "perf_analyzer"
    broken.write_text("#!/bin/sh\necho 'libb64.so.0d: cannot open' >&2\nexit 127\n")
    broken.chmod(0o755)
    check = next(each for each in checks() if each.name == "perf_analyzer")
    assert not check.ok
    assert not check.needed
    assert re.search(r"does not run \(libb64.so.0d: cannot open\).*tritonpm perf install", check.remedy)


def test_it_comes_from_the_registry_with_its_digest_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(tool.VARIABLE, raising=False)
    found = tool.install()
    assert found.version == "2.51.0"
    assert tmp_path in found.binary.parents
    assert os.access(found.binary, os.X_OK)
    monkeypatch.setattr(tool, "_DIGEST", "sha256:" + "0" * 64)
    with pytest.raises(NotFoundError, match="could not be had"):
        tool.install()
    assert found.binary.is_file()

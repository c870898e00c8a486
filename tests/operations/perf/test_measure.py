"""The real perf_analyzer on a real server: every kind of input, every way to send it, pairs, and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from tests.support import perf_analyzer
from tests.support.command import streams
from tests.support.models import scaled
from tests.support.packages import cascade
from tests.support.waiting import PATIENCE, until
from tests.support.workspaces import QUICKLY, opened
from tritonpm.cli.main import main
from tritonpm.core.errors import BusyError, NotFoundError, ServerError, UsageError
from tritonpm.core.tensors import Array, save_npz
from tritonpm.operations.context import Context
from tritonpm.operations.doctor import doctor
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.perf.measure import Sweep, compare, loads, measure, named
from tritonpm.operations.perf.results import result
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.set import change
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.perf import tool
from tritonpm.perf.measurement import Measurement, Workload
from tritonpm.triton import compiled
from tritonpm.triton.connection import Connection

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
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root = tmp_path_factory.mktemp("a workspace")
    perf_analyzer.there()
    init(root / "w")
    context = opened(root / "w")
    serve(context, None, **QUICKLY)
    try:
        for folder in packages(root / "packages"):
            import_package(context, folder)
            if folder.name != "own":
                load(context, folder.name)
        change(context, "own", {"backend": "openvino"})
        load(context, "own")
        yield context
    finally:
        stop(context, 15)


def measured(context: Context, name: str, **load: object) -> Measurement:
    sweep = Sweep((Workload(**{"seconds": BRIEF, "concurrency": 2, **load}),))  # type: ignore[arg-type]
    measurement = measure(context, name, sweep).measurements[0]
    assert measurement.throughput > 0
    assert len(measurement.windows) == 3
    assert 0 < measurement.latency.p50 <= measurement.latency.p99
    assert measurement.compute > 0
    assert measurement.energy.inferences > 0
    return measurement


def regions() -> set[str]:
    """The regions of shared memory that are nobody's of ours."""
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("tritonpm")}


@pytest.mark.parametrize(
    ("name", "protocol", "shared_memory"),
    [
        ("dynamic", "http", "system"),  # over gRPC, without shared memory, it is measured below
        ("texts", "grpc", "none"),
        ("texts", "http", "system"),
        ("whole", "grpc", "none"),
        ("whole", "http", "system"),
        ("chain", "http", "system"),
    ],
)
def test_every_kind_of_input(context: Context, name: str, protocol: str, shared_memory: str) -> None:
    before = regions()
    found = measured(context, name, protocol=protocol, shared_memory=shared_memory)
    assert len(found.stages) == (2 if name == "chain" else 1)
    assert found.memory is not None
    assert regions() <= before


def test_a_result_is_kept_with_what_it_was_measured_with(context: Context) -> None:
    like = Workload(protocol="http", seconds=BRIEF)
    kept = measure(context, "dynamic", Sweep(loads((1,), (), (1, 3), like), price=0.5))
    assert result(context, "dynamic") == result(context, str(kept.number)) == kept
    assert [m.load.batch for m in kept.measurements] == [1, 3]
    assert kept.measurements[1].stages[0].batch >= 3
    revision = context.catalogue.revision("dynamic")
    assert revision is not None
    assert (kept.revision, kept.revision_digest) == (1, revision.digest)
    assert kept.tools["tritonserver"] == "2.51.0"
    assert kept.storage.disk > 0
    assert kept.quality[0].state == "original"
    assert kept.settings["mode"] == "shared"


def test_a_batch_axis_that_triton_does_not_know(context: Context) -> None:
    found = measured(context, "own", batch=3)
    assert found.stages[0].batch == 3
    assert found.energy.inferences == 3 * found.stages[0].requests


def test_so_many_requests_a_second(context: Context) -> None:
    assert measured(context, "bare", rate=40.0).throughput == pytest.approx(40.0, rel=0.5)


def test_what_cannot_be_measured_is_refused(context: Context) -> None:
    with pytest.raises(UsageError, match="whole takes one inference a request"):
        measured(context, "whole", batch=2)
    with pytest.raises(NotFoundError, match="no package 'nothing'"):
        measured(context, "nothing")
    with pytest.raises(UsageError, match="names no revision"):
        named("bolts@x")
    unload(context, "bare")
    with pytest.raises(ServerError, match="bare is not loaded"):
        measured(context, "bare")
    load(context, "bare")


def test_a_server_of_somebody_else_is_measured_by_its_plain_address(context: Context) -> None:
    root, own = context.workspace.root, own_server(context)
    assert own is not None

    def against(server: Connection | str) -> Context:
        return opened(root, server=server)

    assert measured(against(own.grpc), "dynamic").memory is None
    assert measured(against(f"http://{own.http}"), "dynamic", protocol="http").throughput > 0
    with pytest.raises(UsageError, match="not Triton's grpc address"):
        measured(against(f"http://{own.http}"), "dynamic")
    for secret in (Connection(own.grpc, headers={"authorization": "Bearer x"}), f"grpcs://{own.grpc}"):
        with pytest.raises(UsageError, match="secrets or certificates"):
            measured(against(secret), "dynamic")


def test_a_region_of_somebody_else_is_left_alone(context: Context) -> None:
    foreign = Path("/dev/shm/x_0_0")
    foreign.write_text("somebody's")
    try:
        with pytest.raises(BusyError, match="x_0_0"):
            measured(context, "dynamic", shared_memory="system")
        assert foreign.read_text() == "somebody's"
    finally:
        foreign.unlink()


@pytest.mark.long
def test_instances_are_tried_on_a_server_of_our_own(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "python")  # a process each, whose memory is its own
    found = measure(context, "bare", Sweep((Workload(seconds=BRIEF),), instances=(1, 2)))
    assert [each.instances for each in found.measurements] == [1, 2]
    held = [each.memory or 0 for each in found.measurements]
    assert 0 < held[0] < held[1]
    assert not list(context.workspace.staging.iterdir())


@pytest.mark.long
def test_a_package_is_compared_with_a_revision_of_it(context: Context) -> None:
    found = compare(context, "dynamic@1", "dynamic", Workload(seconds=BRIEF / 2), 6)
    assert found.pairs == 6
    assert 0 < found.throughput.low <= found.throughput.ratio <= found.throughput.high
    with pytest.raises(UsageError, match="5 pairs"):
        compare(context, "dynamic@1", "dynamic", Workload(), 5)
    with pytest.raises(NotFoundError, match="no revision 7"):
        compare(context, "dynamic@7", "dynamic", Workload(), 6)


def command(context: Context, *arguments: object) -> list[str]:
    workspace = context.workspace.root
    return [sys.executable, "-m", main.__module__, *map(str, arguments), "-w", str(workspace)]


def test_commands(context: Context, tmp_path: Path) -> None:
    def said(*arguments: object, code: int = 0) -> str:
        output, errors = streams(*arguments, "-w", context.workspace.root, code=code)
        return errors if code else output

    page = tmp_path / "page.html"
    table = said("perf", "chain", "--concurrency", "1:2", "--seconds", BRIEF, "--price", 1.5, "--html", page)
    assert "PER MILLION" in table
    assert "█" in table
    assert "not measurable here" in table or "INFER/J" in table
    assert "2 in flight" in page.read_text("utf-8")
    newest = json.loads(said("perf", "report", "chain", "-o", "json"))
    assert newest["kind"] == "PerfResult"
    assert [row["load"] for row in newest["data"]["figures"]["rows"]] == ["1 in flight", "2 in flight"]
    listed = json.loads(said("perf", "list", "chain", "-o", "json"))["data"]
    assert listed[0]["number"] == newest["data"]["result"]["number"]
    assert "is not a number above 0" in said("perf", "chain", "--seconds", "0", code=2)
    assert "neither a list" in said("perf", "chain", "--concurrency", "1:x", code=2)
    assert "not a share" in said("perf", "gate", "chain", "--max-regression", "5", code=2)


def test_an_interrupt_ends_perf_analyzer_and_leaves_nothing(context: Context) -> None:
    before = regions()
    options = ("--seconds", 60, "--concurrency", 1, "--shared-memory", "system")
    process = subprocess.Popen(command(context, "perf", "texts", *options), stderr=subprocess.PIPE, text=True)
    children: list[psutil.Process] = []

    def measures() -> bool:
        children[:] = psutil.Process(process.pid).children()
        return bool(regions() - before)

    until(measures)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, said
    assert [child.name() for child in children if child.is_running()] == []
    assert regions() <= before
    assert measured(context, "texts", shared_memory="system").throughput > 0


def test_one_that_is_missing_or_broken_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(tool.VARIABLE, raising=False)
    with pytest.raises(NotFoundError, match="not on this machine; get it with `tritonpm perf install`"):
        tool.find()
    broken = tmp_path / "perf_analyzer"
    broken.write_text("#!/bin/sh\necho 'libb64.so.0d: cannot open' >&2\nexit 127\n")
    broken.chmod(0o755)
    check = next(check for check in doctor() if check.name == "perf_analyzer")
    assert not check.ok
    assert not check.needed
    assert re.search(r"does not run \(libb64.so.0d: cannot open\).*tritonpm perf install", check.remedy)


@pytest.mark.long
def test_it_comes_from_the_registry_with_its_digest_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(tool.VARIABLE, raising=False)
    found = tool.install()
    wheel = tool.wheel_for(tool.glibc())
    assert found.version == wheel.version
    assert tmp_path in found.binary.parents
    assert os.access(found.binary, os.X_OK)
    monkeypatch.setattr(tool, "WHEELS", (replace(wheel, digest="sha256:" + "0" * 64),))
    with pytest.raises(NotFoundError, match="could not be fetched"):
        tool.install()
    assert found.binary.is_file()

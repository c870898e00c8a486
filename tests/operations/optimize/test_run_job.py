"""Packages are optimised by real workers: proved, remembered, cancelled, killed, and resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.managing import optimised
from tests.support.models import WIDTH, scaled
from tests.support.packages import cascade, single
from tritonpm.catalogue.jobs import Job
from tritonpm.core.errors import BusyError, NotOptimisedError, OptimisationError, RuleError, UsageError
from tritonpm.core.tensors import save_npz
from tritonpm.operations.manager import Manager, init
from tritonpm.operations.serving import Serving

KILLS = int(os.environ.get("TRITONPM_KILLS", "8"))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    init(tmp_path / "a workspace")
    opened = Manager.open(tmp_path / "a workspace")
    yield opened
    for job in opened.catalogue.jobs.busy().values():
        opened.optimising.cancel(job.id)


def processes_of(job: Job) -> list[psutil.Process]:
    """The job's own process first, then its workers."""
    if job.pid is None:  # not started yet; psutil would take None for ourselves
        return []
    try:
        own = psutil.Process(job.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def test_a_package_is_optimised_proved_and_ready(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    assert manager.show("p").status == "imported"
    optimised(manager, "p", precision="FP16")
    view = manager.show("p")
    made = view.optimisations[0]
    assert (view.status, view.precision) == ("ready", "FP16")
    assert (made.optimizer, made.precision, made.state) == ("openvino", "FP16", "verified")
    assert made.agreement.inputs.startswith("1 sample")
    manager.publish("p")
    files = {path.name for path in (manager.workspace.repository / "p/1").iterdir()}
    assert files == {"model.xml", "model.bin"}
    assert 'backend: "openvino"' in (manager.workspace.repository / "p/config.pbtxt").read_text()


def test_what_is_not_optimised_yet_is_not_published(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)), changes={"precision": "FP16"})
    with pytest.raises(NotOptimisedError, match="tritonpm optimize p"):
        manager.publish("p")


def test_the_same_content_never_compiles_twice(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "one", scaled(2.0)))
    optimised(manager, "p", precision="FP16")
    other = single(tmp_path / "two", scaled(2.0), name="q")
    (other / "note.txt").write_text("another package with the same model")
    manager.import_package(other)
    manager.optimising.choose("q", {"precision": "FP16"})
    assert manager.optimising.start("q") is None
    assert manager.show("q").optimisations[0].state == "verified"
    assert manager.optimising.start("q", again=True) is not None


def test_the_blobs_of_an_optimisation_go_with_its_package(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    optimised(manager, "p", precision="FP16")
    manager.import_package(single(tmp_path / "other", scaled(3.0), name="q"))
    manager.remove("p")
    assert len(list(manager.blobs.root.glob("*/*"))) == 2  # q's model and the sample
    manager.remove("q")
    assert not list(manager.blobs.root.glob("*/*"))


def test_int8_without_samples_is_refused_before_anything_runs(manager: Manager, tmp_path: Path) -> None:
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(scaled(2.0))
    manager.import_package(bare)
    manager.optimising.choose("bare", {"precision": "INT8"})
    with pytest.raises(OptimisationError, match=r"calibrated on samples.*--calibration FOLDER"):
        manager.optimising.start("bare")
    assert manager.optimising.listed() == []


def test_a_guilty_member_goes_back_to_fp32(manager: Manager, tmp_path: Path) -> None:
    # 1.0004 is 1.0 in FP16: harmless alone, and everything that the second stage looks at.
    first, second = scaled(1.0004, source="x", result="m"), scaled(1000.0, 1.0, source="m", result="y")
    manager.import_package(cascade(tmp_path / "in", first, second))
    optimised(manager, "c", precision="FP16", tolerances={"scaled": 0.05, "cosine": 0.9})
    first_view, second_view = manager.show("c").optimisations
    assert (first_view.precision, second_view.precision) == ("FP32", "FP16")
    assert any("went back to FP32" in note and "'y' is off" in note for note in first_view.notes)
    manager.publish("c")


def test_a_stage_that_fails_is_named_and_the_good_state_stays(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(cascade(tmp_path / "in", scaled(1.0004, result="m"), scaled(2.0, source="m")))
    published = manager.publish("c")
    manager.optimising.choose("c", {"precision": "FP16", "tolerances": {"max_abs": 1e-5}})
    job = manager.optimising.start("c")
    assert job is not None
    with pytest.raises(OptimisationError, match="stage first: output 'm' is off: max_abs"):
        manager.optimising.watched(job.id)
    assert manager.show("c").status == "failed"
    current = manager.catalogue.revision("c")
    assert current is not None
    assert current.digest == published.digest
    assert (manager.workspace.repository / "c/config.pbtxt").exists()


def test_a_worker_out_of_memory_is_a_failure_with_a_remedy(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    manager.optimising.choose("p", {"precision": "FP16"})
    job = manager.optimising.start("p", memory_limit=60 << 20)
    assert job is not None
    with pytest.raises(OptimisationError, match=r"memory.*--memory-limit"):
        manager.optimising.watched(job.id)
    assert manager.show("p").status == "failed"


def test_a_killed_worker_fails_its_job_and_nothing_else(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    manager.optimising.choose("p", {"precision": "FP16"})
    job = manager.optimising.start("p")
    assert job is not None
    deadline = time.monotonic() + 30
    while len(found := processes_of(manager.catalogue.jobs.get(job.id))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    found[1].send_signal(signal.SIGKILL)
    with pytest.raises(OptimisationError, match="killed by SIGKILL"):
        manager.optimising.watched(job.id)
    optimised(manager, "p")
    assert manager.show("p").status == "ready"


def test_a_cancelled_job_leaves_the_package_as_it_was(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    manager.optimising.choose("p", {"precision": "FP16"})
    job = manager.optimising.start("p")
    assert job is not None
    with pytest.raises(BusyError, match=f"optimised by job {job.id}"):
        manager.change("p", {"mode": "performance"})
    with pytest.raises(BusyError, match="optimised by job"):
        manager.remove("p")
    with pytest.raises(BusyError, match="optimised by job"):
        manager.optimising.start("p")
    assert manager.packages()[0].status == "optimising"
    assert manager.optimising.cancel(job.id).state == "cancelled"
    assert manager.packages()[0].status == "imported"
    with pytest.raises(UsageError, match="is cancelled"):
        manager.optimising.cancel(job.id)
    assert manager.optimising.resume(job.id) > job.id


def test_kills_leave_no_half_state(manager: Manager, tmp_path: Path) -> None:
    """The job's process and its worker die at random moments; each time the state is old or new, and it goes on."""
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    manager.optimising.choose("p", {"precision": "FP16"})
    random = np.random.default_rng(0)
    started = time.monotonic()
    job = manager.optimising.start("p")
    assert job is not None
    manager.optimising.watched(job.id)
    length = time.monotonic() - started
    interrupted = 0
    for number in range(KILLS):
        job = manager.optimising.start("p", again=True)
        assert job is not None
        time.sleep(float(random.uniform(0, 1.1 * length)))
        found = processes_of(manager.catalogue.jobs.get(job.id))
        for process in (found, found[:1], found[1:])[number % 3]:  # both, the job's own, the worker
            process.send_signal(signal.SIGKILL)
        _settled(manager, job.id)
        assert _gone(found), "a process outlived its job"
        ended = manager.catalogue.jobs.get(job.id)
        interrupted += ended.state == "interrupted"
        made = manager.show("p").optimisations[0]
        assert made.state in ("missing", "verified")
        assert made.state == "verified" or ended.state != "done"
        for path in manager.blobs.root.glob("*/*"):
            manager.blobs.verify(f"sha256:{path.name}")
        manager.publish("p") if made.state == "verified" else None
    assert interrupted > KILLS // 5
    manager.optimising.ensure("p")
    manager.publish("p")
    assert not list(manager.workspace.staging.iterdir())
    print(f"{KILLS} kills of jobs and their workers, {interrupted} interrupted, nothing lost")


def _gone(processes: list[psutil.Process]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            if not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
                return True
        time.sleep(0.01)
    return False


def _settled(manager: Manager, number: int) -> None:
    deadline = time.monotonic() + 60
    while manager.catalogue.jobs.get(number).state == "running" and time.monotonic() < deadline:
        time.sleep(0.02)


GPU = {"device": "gpu-optimised", "compute_capability": "8.9"}


def test_an_engine_is_built_for_a_named_gpu_and_waits_for_it(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    optimised(manager, "p", precision="FP16", **GPU)
    made = manager.show("p").optimisations[0]
    assert (made.optimizer, made.precision, made.state) == ("tensorrt", "FP16", "unverified")
    assert [step.converter for step in made.steps] == ["onnx-fp16", "tensorrt"]
    assert "no GPU here" in made.reason
    manager.publish("p")
    assert (manager.workspace.repository / "p/1/model.plan").stat().st_size == made.bytes
    assert 'backend: "tensorrt"' in (manager.workspace.repository / "p/config.pbtxt").read_text()
    assert {layer.micros for layer in manager.optimising.profile("p")} == {None}


def test_a_graph_that_tensorrt_takes_in_part_runs_in_ort_s_accelerator(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", with_determinant()))
    optimised(manager, "p", precision="FP16", **GPU)
    made = manager.show("p").optimisations[0]
    assert (made.optimizer, made.state, made.bytes) == ("ort-tensorrt", "unverified", 0)
    assert "tensorrt could not take it" in made.notes[0]
    assert "Det" in made.notes[0]
    manager.publish("p")
    config = (manager.workspace.repository / "p/config.pbtxt").read_text()
    assert 'name: "tensorrt"' in config
    assert 'key: "precision_mode"' in config
    with pytest.raises(OptimisationError, match="Det"):
        optimised(manager, "p", optimizer="tensorrt")


def with_determinant() -> bytes:
    """y = x + det(1), an operator that TensorRT does not know."""
    one = numpy_helper.from_array(np.eye(WIDTH, dtype=np.float32), "one")
    nodes = [helper.make_node("Det", ["one"], ["d"], "determinant"), helper.make_node("Add", ["x", "d"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_for_a_gpu_that_the_toolkit_does_not_know_nothing_is_built(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(OptimisationError, match=r"does not build for compute capability 3\.5"):
        optimised(manager, "p", device="gpu-optimised", compute_capability="3.5")


def test_rules_of_precision_and_device(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(RuleError, match="use --device gpu-optimised"):
        manager.change("p", {"device": "gpu", "precision": "FP16"})
    with pytest.raises(RuleError, match="does not work for device cpu"):
        manager.change("p", {"optimizer": "tensorrt"})


@pytest.mark.server
def test_an_optimised_package_is_loaded_and_answers(manager: Manager, tmp_path: Path) -> None:
    manager.import_package(single(tmp_path / "in", scaled(1.5)))
    manager.change("p", {"precision": "FP16"})
    serving = Serving(manager)
    serving.serve(None, detach=True, timeout=60, standard_ports=False)
    try:
        assert serving.load("p").probe == "answered 1 sample, 0 as expected"  # it optimises what was not there yet
        save_npz(tmp_path / "x.npz", {"x": np.ones((3, WIDTH), np.float32)})
        serving.infer("p", tmp_path / "x.npz", tmp_path / "y.npz")
        with np.load(tmp_path / "y.npz") as answer:
            assert np.allclose(answer["y"], 1.5)
        manager.change("p", {"tolerances": {"max_abs": 0.0}, "precision": "FP16", "optimizer": "openvino"})
    finally:
        serving.stop(15)
    assert not [p for p in psutil.process_iter(["cmdline"]) if os.fspath(tmp_path) in " ".join(p.info["cmdline"] or ())]

"""Packages are optimised by real workers: proved, remembered, cancelled, killed, and resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.support.consistency import optimised
from tests.support.models import WIDTH, scaled
from tests.support.networks import convolution
from tests.support.packages import cascade, single
from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, opened, publish
from tritonpm.catalogue.jobs import Job
from tritonpm.core.errors import BusyError, NotOptimisedError, OptimisationError, RuleError, UsageError
from tritonpm.core.tensors import save_npz
from tritonpm.operations.artefacts import kept_artefact, works_of
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.infer import infer
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load
from tritonpm.operations.optimize import run_job
from tritonpm.operations.optimize.candidates import what_it_had
from tritonpm.operations.optimize.decision import BEFORE, Decision
from tritonpm.operations.optimize.jobs import (
    JobRequest,
    cancel,
    ensure,
    list_jobs,
    resume,
    start,
    to_optimise_for,
    watch,
)
from tritonpm.operations.optimize.profile import profile
from tritonpm.operations.optimize.workload import ComparisonRequest
from tritonpm.operations.remove import remove
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change, choose
from tritonpm.operations.show import show
from tritonpm.operations.stop import stop

KILLS = int(os.environ.get("TRITONPM_KILLS", "5"))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    init(tmp_path / "a workspace")
    context = opened(tmp_path / "a workspace")
    yield context
    for job in context.catalogue.jobs.busy().values():
        cancel(context, job.id)


def processes_of(job: Job) -> list[psutil.Process]:
    """The job's own process first, then its workers."""
    if job.pid is None:  # not started yet; psutil would take None for ourselves
        return []
    try:
        own = psutil.Process(job.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def test_a_package_is_optimised_proved_and_ready(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    assert show(context, "p").status == "imported"
    optimised(context, "p", precision="FP16")
    view = show(context, "p")
    made = view.optimisations[0]
    assert (view.status, view.precision) == ("ready", "FP16")
    assert (made.optimizer, made.precision, made.state) == ("openvino", "FP16", "verified")
    assert made.agreement.inputs.startswith("1 sample")
    publish(context, "p")
    files = {path.name for path in (context.workspace.repository / "p/1").iterdir()}
    assert files == {"model.xml", "model.bin"}
    assert 'backend: "openvino"' in (context.workspace.repository / "p/config.pbtxt").read_text()


def test_what_is_not_optimised_yet_is_not_published(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)), changes={"precision": "FP16"})
    with pytest.raises(NotOptimisedError, match="tritonpm optimize p"):
        publish(context, "p")


def test_the_same_content_never_compiles_twice(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "one", scaled(2.0)))
    optimised(context, "p", precision="FP16")
    other = single(tmp_path / "two", scaled(2.0), name="q")
    (other / "note.txt").write_text("another package with the same model")
    import_package(context, other)
    assert start(context, "q", to_optimise_for(context, "q", {"precision": "FP16"})) is None
    assert show(context, "q").optimisations[0].state == "verified"
    assert start(context, "q", again=True) is not None


def test_the_blobs_of_an_optimisation_go_with_its_package(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    optimised(context, "p", precision="FP16")
    import_package(context, single(tmp_path / "other", scaled(3.0), name="q"))
    remove(context, "p")
    assert len(list(context.blobs.root.glob("*/*"))) == 2  # q's model and the sample
    remove(context, "q")
    assert not list(context.blobs.root.glob("*/*"))


def test_int8_without_samples_is_refused_before_anything_runs(context: Context, tmp_path: Path) -> None:
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(scaled(2.0))
    import_package(context, bare)
    settings = to_optimise_for(context, "bare", {"precision": "INT8"})
    with pytest.raises(
        OptimisationError, match=r"calibrated on samples.*`tritonpm optimize bare --calibration FOLDER`"
    ):
        start(context, "bare", settings)
    assert list_jobs(context) == []


@pytest.mark.long
def test_pictures_calibrate_as_the_stage_prepares_them(context: Context, tmp_path: Path) -> None:
    import openvino

    convolution(tmp_path / "seen.onnx")
    import_package(context, tmp_path / "seen.onnx")
    change(context, "seen", {"preprocess": {"resize": "stretch", "size": [16, 16], "scale": 1 / 255}})
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    choose(context, "seen", {}, calibration=tmp_path / "pictures")
    optimised(context, "seen", precision="INT8")
    [work], _ = works_of(context, context.catalogue.get("seen"))
    made = kept_artefact(context, work.key)
    assert made is not None and made.steps[0].details["samples"] == 4
    files = {file.path: context.blobs.path(file.digest) for file in made.files}
    model = openvino.Core().read_model(files["model.xml"], files["model.bin"])
    highest = [
        op.input_value(2).get_node().data.max() for op in model.get_ops() if op.get_type_name() == "FakeQuantize"
    ]
    assert max(highest) < 10  # what the model sees of a picture, and not its 0 to 255


@pytest.mark.long
def test_a_guilty_member_goes_back_to_fp32(context: Context, tmp_path: Path) -> None:
    # 1.0004 is 1.0 in FP16: harmless alone, and everything that the second stage looks at.
    first, second = scaled(1.0004, source="x", result="m"), scaled(1000.0, 1.0, source="m", result="y")
    import_package(context, cascade(tmp_path / "in", first, second))
    optimised(context, "c", precision="FP16", tolerances={"scaled": 0.05, "cosine": 0.9})
    first_view, second_view = show(context, "c").optimisations
    assert (first_view.precision, second_view.precision) == ("FP32", "FP16")
    assert any("went back to FP32" in note and "'y' is off" in note for note in first_view.notes)
    publish(context, "c")


def test_a_stage_that_fails_is_named_and_the_good_state_stays(context: Context, tmp_path: Path) -> None:
    import_package(context, cascade(tmp_path / "in", scaled(1.0004, result="m"), scaled(2.0, source="m")))
    published = publish(context, "c")
    before = show(context, "c")
    job = start(context, "c", to_optimise_for(context, "c", {"precision": "FP16", "tolerances": {"max_abs": 1e-5}}))
    assert job is not None
    with pytest.raises(OptimisationError, match="stage first: output 'm' is off: max_abs"):
        watch(context, job.id)
    assert show(context, "c") == before
    current = context.catalogue.revision("c")
    assert current is not None
    assert current.digest == published.digest
    assert (context.workspace.repository / "c/config.pbtxt").exists()


def test_a_worker_out_of_memory_is_a_failure_with_a_remedy(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    job = start(context, "p", to_optimise_for(context, "p", {"precision": "FP16"}), memory_limit=60 << 20)
    assert job is not None
    with pytest.raises(OptimisationError, match=r"memory.*--memory-limit"):
        watch(context, job.id)
    assert list_jobs(context)[0].state == "failed"
    assert show(context, "p").settings.precision == "FP32"


def test_a_killed_worker_fails_its_job_and_nothing_else(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    job = start(context, "p", to_optimise_for(context, "p", {"precision": "FP16"}))
    assert job is not None
    number = job.id

    def worker() -> psutil.Process | None:
        return next(iter(processes_of(context.catalogue.jobs.get(number))[1:]), None)

    until(worker, every=0.005).send_signal(signal.SIGKILL)
    with pytest.raises(OptimisationError, match="killed by SIGKILL"):
        watch(context, job.id)
    optimised(context, "p")
    assert show(context, "p").status == "ready"


def test_a_cancelled_job_leaves_the_package_as_it_was(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    settings = to_optimise_for(context, "p", {"precision": "FP16"})
    job = start(context, "p", settings)
    assert job is not None
    with pytest.raises(BusyError, match=f"optimised by job {job.id}"):
        change(context, "p", {"mode": "performance"})
    with pytest.raises(BusyError, match="optimised by job"):
        remove(context, "p")
    with pytest.raises(BusyError, match="optimised by job"):
        start(context, "p", settings)
    assert packages(context.catalogue)[0].status == "optimising"
    assert cancel(context, job.id).state == "cancelled"
    assert packages(context.catalogue)[0].status == "imported"
    with pytest.raises(UsageError, match="is cancelled"):
        cancel(context, job.id)
    assert resume(context, job.id) > job.id


@pytest.mark.long
def test_kills_leave_no_half_state(context: Context, tmp_path: Path) -> None:
    """The job's process and its worker die at random moments; each time the state is old or new, and it goes on."""
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    random = np.random.default_rng(0)
    started = time.monotonic()
    job = start(context, "p", to_optimise_for(context, "p", {"precision": "FP16"}))
    assert job is not None
    watch(context, job.id)
    length = time.monotonic() - started
    interrupted = 0
    for number in range(KILLS):
        job = start(context, "p", again=True)
        assert job is not None
        time.sleep(float(random.uniform(0, 1.1 * length)))
        processes = processes_of(context.catalogue.jobs.get(job.id))
        for process in (processes, processes[:1], processes[1:])[number % 3]:  # both, the job's own, the worker
            process.send_signal(signal.SIGKILL)
        _settled(context, job.id)
        _gone(processes)
        ended = context.catalogue.jobs.get(job.id)
        interrupted += ended.state == "interrupted"
        made = show(context, "p").optimisations[0]
        assert made.state in ("missing", "verified")
        assert made.state == "verified" or ended.state != "done"
        for path in context.blobs.root.glob("*/*"):
            context.blobs.verify(f"sha256:{path.name}")
        publish(context, "p") if made.state == "verified" else None
    assert interrupted > KILLS // 5
    ensure(context, "p")
    publish(context, "p")
    assert not list(context.workspace.staging.iterdir())
    print(f"{KILLS} kills of jobs and their workers, {interrupted} interrupted, nothing lost")


def _gone(processes: list[psutil.Process]) -> None:
    def gone() -> bool:
        with suppress(psutil.NoSuchProcess):
            return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
        return False

    until(gone, "a process outlived its job", every=0.01)


def _settled(context: Context, number: int) -> None:
    until(lambda: context.catalogue.jobs.get(number).state != "running", every=0.02)


GPU = {"device": "gpu-optimised", "compute_capability": "8.9"}


def test_an_engine_is_built_for_a_named_gpu_and_waits_for_it(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    optimised(context, "p", precision="FP16", **GPU)
    made = show(context, "p").optimisations[0]
    assert (made.optimizer, made.precision, made.state) == ("tensorrt", "FP16", "unverified")
    assert [step.converter for step in made.steps] == ["onnx-fp16", "tensorrt"]
    assert "no GPU here" in made.reason
    publish(context, "p")
    assert (context.workspace.repository / "p/1/model.plan").stat().st_size == made.bytes
    assert 'backend: "tensorrt"' in (context.workspace.repository / "p/config.pbtxt").read_text()
    assert {layer.micros for layer in profile(context, "p")} == {None}


def test_a_graph_that_tensorrt_takes_in_part_runs_in_ort_s_accelerator(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", with_determinant()))
    optimised(context, "p", precision="FP16", **GPU)
    made = show(context, "p").optimisations[0]
    assert (made.optimizer, made.state, made.bytes) == ("ort-tensorrt", "unverified", 0)
    assert "tensorrt could not take it" in made.notes[0]
    assert "Det" in made.notes[0]
    publish(context, "p")
    config = (context.workspace.repository / "p/config.pbtxt").read_text()
    assert 'name: "tensorrt"' in config
    assert 'key: "precision_mode"' in config
    with pytest.raises(OptimisationError, match="Det"):
        optimised(context, "p", optimizer="tensorrt")


def with_determinant() -> bytes:
    """y = x + det(1), an operator that TensorRT does not know."""
    one = numpy_helper.from_array(np.eye(WIDTH, dtype=np.float32), "one")
    nodes = [helper.make_node("Det", ["one"], ["d"], "determinant"), helper.make_node("Add", ["x", "d"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [one])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_for_a_gpu_that_the_toolkit_does_not_know_nothing_is_built(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(OptimisationError, match=r"does not build for compute capability 3\.5"):
        optimised(context, "p", device="gpu-optimised", compute_capability="3.5")


def test_rules_of_precision_and_device(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    with pytest.raises(RuleError, match="use --device gpu-optimised"):
        change(context, "p", {"device": "gpu", "precision": "FP16"})
    with pytest.raises(RuleError, match="does not work for device cpu"):
        change(context, "p", {"optimizer": "tensorrt"})


@pytest.mark.server
def test_an_optimised_package_is_loaded_and_answers(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(1.5)))
    change(context, "p", {"precision": "FP16"})
    serve(context, None, **QUICKLY)
    try:
        assert (
            load(context, "p").probe == "answered 1 sample; the package does not say what is expected"
        )  # it optimises what was not there yet
        save_npz(tmp_path / "x.npz", {"x": np.ones((3, WIDTH), np.float32)})
        infer(context, "p", tmp_path / "x.npz", tmp_path / "y.npz")
        with np.load(tmp_path / "y.npz") as answer:
            assert np.allclose(answer["y"], 1.5)
        change(context, "p", {"tolerances": {"max_abs": 0.0}, "precision": "FP16", "optimizer": "openvino"})
    finally:
        stop(context, 15)
    assert not [p for p in psutil.process_iter(["cmdline"]) if os.fspath(tmp_path) in " ".join(p.info["cmdline"] or ())]


def test_where_nothing_better_is_found_nothing_that_was_asked_for_is_stored(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    before = context.catalogue.get("p")
    asked = to_optimise_for(context, "p", {"tolerances": {"max_abs": 1e-12}})
    request = JobRequest(60, 1 << 30, asked, before.settings, ComparisonRequest())
    job = context.catalogue.jobs.create("p", msgspec.to_builtins(request))
    kept = Decision(what_it_had(context, before, asked), BEFORE, automatic=True)
    monkeypatch.setattr(run_job, "decide", lambda *_: kept)
    run_job.run(context.workspace.root, job.id)
    assert context.catalogue.jobs.get(job.id).state == "done"
    assert context.catalogue.get("p").settings == before.settings
    assert show(context, "p").comparison == kept.sentences

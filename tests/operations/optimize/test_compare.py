"""What was made is measured beside what the package had, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.models import scaled
from tests.support.packages import single
from tests.support.waiting import until
from tests.support.workspaces import opened
from tritonpm.core.errors import OptimisationError
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.optimize.candidates import candidates, incomparable, what_it_had
from tritonpm.operations.optimize.compare import decide
from tritonpm.operations.optimize.decision import Decision, of_job
from tritonpm.operations.optimize.jobs import cancel, follow, list_jobs, request_of, start, to_optimise_for, watch
from tritonpm.operations.optimize.workload import ComparisonRequest
from tritonpm.operations.show import show

WIDE = 4096  # 64 MiB of weights, which one request reads as well as 32 that are joined


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    yield context
    context.catalogue.close()


def bound_by_its_weights() -> bytes:
    """y = x · w: what it costs is to read w, however many rows x has."""
    weights = np.random.default_rng(0).standard_normal((WIDE, WIDE)).astype(np.float32) / WIDE**0.5
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDE]) for name in "xy")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def processes_in(folder: Path) -> list[psutil.Process]:
    listed = psutil.process_iter(["cmdline"])
    return [process for process in listed if str(folder) in " ".join(process.info["cmdline"] or ())]


def compared(context: Context, changes: dict[str, object]) -> Decision:
    job = start(context, "p", to_optimise_for(context, "p", changes), compare=ComparisonRequest(concurrency=32))
    assert job is not None
    watch(context, job.id)
    decision = of_job(context.catalogue.jobs, job.id)
    assert decision is not None
    return decision


@pytest.mark.server
@pytest.mark.long
def test_what_is_lost_is_told_and_auto_keeps_what_batches(context: Context, tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(bound_by_its_weights())
    import_package(context, tmp_path / "p.onnx", changes={"max_batch_size": 32})

    named = compared(context, {"optimizer": "openvino"})
    assert (named.chosen, show(context, "p").max_batch_size) == ("openvino", 0)
    assert named.loses
    assert "Triton no longer combines requests" in named.sentences
    assert "--optimizer auto keeps what is better" in " ".join(list_jobs(context)[0].comparison)

    chosen = compared(context, {"optimizer": "auto"})
    assert chosen.chosen in ("none", "ort-openvino")
    view = show(context, "p")
    assert (view.settings.optimizer, view.max_batch_size) == (chosen.chosen, 32)
    assert view.comparison == chosen.sentences
    assert {comparison.b for comparison in chosen.comparisons} == {"none", "ort-openvino"}


@pytest.mark.server
def test_a_job_that_is_cancelled_while_it_measures_leaves_no_trace(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    before = context.catalogue.get("p").settings
    job = start(context, "p", to_optimise_for(context, "p", {}), compare=ComparisonRequest(1, 1))
    assert job is not None
    assert any(event.step.startswith("Measuring") for event in follow(context, job.id))
    assert cancel(context, job.id).state == "cancelled"
    assert context.catalogue.get("p").settings == before
    assert of_job(context.catalogue.jobs, job.id) is None
    until(lambda: not processes_in(tmp_path), "a process outlived its job")


def test_auto_is_what_the_rules_allow_and_a_name_is_itself(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    record = context.catalogue.get("p")
    auto = to_optimise_for(context, "p", {})
    assert {name: settings.optimizer for name, settings in candidates(context, record, auto).items()} == {
        name: name for name in ("openvino", "ort-openvino", "none", "onnx")
    }
    half = to_optimise_for(context, "p", {"optimizer": "auto", "precision": "FP16"})
    assert "ort-openvino" not in candidates(context, record, half)
    assert list(candidates(context, record, to_optimise_for(context, "p", {"precision": "FP16"}))) == ["openvino"]
    stage = to_optimise_for(context, "p", {"optimizer": "auto"}, stage="s")
    assert candidates(context, record, stage)["onnx"].for_stage("s").optimizer == "onnx"


def test_what_it_had_has_the_other_wishes_too(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)), changes={"precision": "FP16"})
    record = context.catalogue.get("p")
    had = what_it_had(context, record, to_optimise_for(context, "p", {"optimizer": "auto", "max_batch_size": 3}))
    assert (had.optimizer, had.precision, had.max_batch_size) == ("none", "FP32", 3)  # FP16 was never made


def test_where_nothing_can_be_measured_what_was_proved_is_kept(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONPM_TRITONSERVER", str(tmp_path / "none"))
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    job = start(context, "p", to_optimise_for(context, "p", {}), compare=ComparisonRequest())
    assert job is not None
    watch(context, job.id)
    assert list_jobs(context)[0].comparison == (
        "not compared with what it had: no tritonserver is installed on this machine",
    )
    assert [made.optimizer for made in show(context, "p").optimisations] == ["openvino"]
    assert start(context, "p", to_optimise_for(context, "p", {}), compare=ComparisonRequest()) is None
    compiled = to_optimise_for(context, "p", {"device": "gpu-optimised", "compute_capability": "8.9"})
    assert "GPU" in incomparable(context, context.catalogue.get("p"), compiled)


def test_where_none_can_be_made_it_has_failed(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    record = context.catalogue.get("p")

    def fails(_: object) -> None:
        raise OptimisationError("too far off", where="stage s")

    with pytest.raises(OptimisationError, match="too far off"):
        decide(context, record, to_optimise_for(context, "p", {}), ComparisonRequest(), fails)
    assert context.catalogue.get("p").settings == record.settings


def test_a_job_of_an_earlier_version_is_understood(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    request = request_of(context.catalogue.jobs.create("p", {"seconds": 5.0, "memory": 7}))
    assert (request.seconds, request.memory, request.settings, request.compare) == (5.0, 7, None, None)

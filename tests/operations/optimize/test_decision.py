"""What measurements decide, and how that is said; the measurements are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.optimize.decision import BEFORE, Decision, batching_words, best, keep, of_job, of_settings
from tritonpm.operations.show import show
from tritonpm.perf.compare import Comparison, Ratio
from tritonpm.perf.measurement import Workload
from tritonpm.settings.settings import Settings


def against(name: str, ratio: float, low: float, high: float, concurrency: int = 32) -> Comparison:
    ratios = (Ratio("throughput", 100.0, 100.0 * ratio, ratio, low, high),)
    return Comparison(BEFORE, name, Workload(concurrency), 15, ratios)


@pytest.mark.parametrize(
    ("comparisons", "kept"),
    [
        ([], BEFORE),
        ([against("openvino", 1.4, 1.3, 1.6)], "openvino"),
        ([against("openvino", 1.4, 0.9, 1.6)], BEFORE),  # it may be noise
        ([against("openvino", 0.5, 0.3, 0.9)], BEFORE),
        ([against("openvino", 1.4, 1.3, 1.6), against("ort-openvino", 1.6, 1.2, 1.9)], "ort-openvino"),
        ([against("ort-openvino", 1.3, 1.1, 1.6), against("none", 1.7, 0.6, 3.5)], BEFORE),  # noise
        ([against("ort-openvino", 1.3, 1.1, 1.6), against("none", 1.7, 1.5, 1.9)], "none"),
        # fast with few requests and slow with many is a loss for who is asked both ways
        ([against("openvino", 3.0, 2.5, 3.5, 4), against("openvino", 0.5, 0.4, 0.6)], BEFORE),
        ([against("openvino", 1.4, 1.3, 1.6, 4), against("openvino", 0.97, 0.8, 1.1)], "openvino"),
    ],
)
def test_what_gains_beyond_doubt_and_loses_nowhere_is_kept(comparisons: list[Comparison], kept: str) -> None:
    assert best(comparisons) == kept


def test_what_is_gained_and_lost_is_said() -> None:
    won = Decision(Settings(), "openvino", True, (against("openvino", 1.42, 1.31, 1.55, 64),), "the load was named")
    assert won.sentences == (
        "openvino is what it gets: it gains, and loses under none of the loads",
        "openvino has 1.42 × the throughput of the previous version (95 % 1.31 to 1.55) with 64 requests of 1 row in flight",
        "the load was named",
    )
    lost = Decision(
        Settings(), "openvino", comparisons=(against("openvino", 0.5, 0.3, 0.9),), batching=batching_words(32, 0)
    )
    assert lost.loses
    assert lost.sentences[1:] == (
        "it is slower than before: --optimizer auto keeps what is better",
        "Triton no longer combines requests",
    )
    kept = Decision(Settings(), BEFORE, True, lost.comparisons, left_out={"ort-openvino": "its answer is wrong"})
    assert kept.sentences[0] == "nothing was better than what it had, which stays"
    assert kept.sentences[-1] == "ort-openvino was left out: its answer is wrong"
    why = "no tritonserver is installed on this machine"
    unknown = Decision(Settings(), "openvino", uncompared=why, left_out={"onnx": "it is too far off"})
    assert unknown.sentences == (f"not compared with what it had: {why}", "onnx was left out: it is too far off")


@pytest.mark.parametrize(("before", "after", "told"), [(8, 8, False), (8, 0, True), (0, 8, True), (1, 0, False)])
def test_what_changes_in_what_triton_joins_is_said(before: int, after: int, told: bool) -> None:
    assert bool(batching_words(before, after)) is told


def test_it_is_kept_with_its_job_and_shown_while_the_settings_are_those(tmp_path: Path) -> None:
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    jobs, settings = context.catalogue.jobs, context.catalogue.get("p").settings
    decision = Decision(settings, BEFORE, True, (against("openvino", 0.5, 0.3, 0.9),), left_out={"onnx": "why"})
    job = jobs.create("p", {"seconds": 1.0, "memory": 1})
    assert of_job(jobs, job.id) is None
    keep(jobs, job, decision)
    jobs.end(job.id, "done")
    assert of_job(jobs, job.id) == decision
    assert show(context, "p").comparison == decision.sentences
    assert of_settings(jobs, "p", Settings(max_batch_size=3)) is None

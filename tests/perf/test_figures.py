"""The five figures, the energy of counters, how sure a comparison is, and the results that are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.core.errors import NotFoundError, StorageError, UsageError
from tritonpm.perf.compare import comparison, in_alternation, interval, judged, percentage
from tritonpm.perf.energy import EnergyReading, reader, spent
from tritonpm.perf.figures import cost_per_million, figures
from tritonpm.perf.measurement import (
    Energy,
    Latency,
    Machine,
    Measurement,
    Quality,
    Result,
    StageTimes,
    Storage,
    Workload,
)
from tritonpm.perf.report import html
from tritonpm.perf.results import Results


def measurement(throughput: float, **changes: object) -> Measurement:
    stages = (StageTimes("m", 100, 1.0, 50.0, 5.0, 300.0, 5.0),)
    latency = Latency(400.0, 390.0, 450.0, 470.0, 500.0)
    found = Measurement(
        Workload(), 1, throughput, (throughput,) * 3, latency, stages, Energy(None, 0, reason="no"), 1.0
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def result(*measurements: Measurement, package: str = "p", price: float | None = None) -> Result:
    machine = Machine("a processor", 2, 1 << 30, (), "Linux")
    return Result(
        0, "2026-01-01T00:00:00+00:00", package, "1", "sha256:1", 1, "sha256:2", machine, {"perf_analyzer": "2"},
        {"mode": "shared"}, "a sample", measurements, Storage(1536), (Quality("<s>", "FP32", "original"),), price,
    )  # fmt: skip


def test_the_price_of_a_million_inferences() -> None:
    assert cost_per_million(3.6, 1000.0) == pytest.approx(1.0)  # a million take 1000 s, and an hour costs 3.6
    assert cost_per_million(None, 1000.0) is None


@given(*[st.floats(0, 1e6)] * 5)
def test_the_shares_of_a_latency_add_up(mean: float, queue: float, first: float, compute: float, last: float) -> None:
    stages = (StageTimes("m", 1, 1.0, queue, first, compute, last),)
    row = figures(result(measurement(1.0, stages=stages, latency=Latency(mean, 0, 0, 0, 0)))).rows[0]
    total = row.queue + row.compute + row.overhead
    assert total == pytest.approx(1.0) or total == pytest.approx(0.0)
    assert min(row.queue, row.compute, row.overhead) >= 0


def test_the_spread_is_of_the_windows() -> None:
    assert measurement(1.0, windows=(50.0, 100.0, 80.0)).spread == 0.5


def counters(folder: Path, **microjoules: int) -> Path:
    for place, used in microjoules.items():
        zone = folder / place.replace("_", ":").replace("rapl", "intel-rapl")
        zone.mkdir(parents=True, exist_ok=True)
        name = {"rapl_0": "package-0", "rapl_0_0": "core", "rapl_0_1": "dram", "rapl_1": "psys"}[place]
        for file, text in (("name", name), ("energy_uj", str(used)), ("max_energy_range_uj", "10000000")):
            (zone / file).write_text(f"{text}\n")
    return folder


def test_energy_is_of_packages_and_memory_and_counts_on_after_a_wrap(tmp_path: Path) -> None:
    read = reader(gpu=False, powercap=counters(tmp_path, rapl_0=9_000_000, rapl_0_0=0, rapl_0_1=500_000, rapl_1=0))
    before = read()
    counters(tmp_path, rapl_0=1_000_000, rapl_0_0=7_000_000, rapl_0_1=1_500_000, rapl_1=9_000_000)
    energy = spent(before, read(), 600)
    assert energy.joules == pytest.approx(2.0 + 1.0)
    assert energy.inferences_per_joule == pytest.approx(200.0)


def test_what_cannot_be_read_is_said_and_not_guessed(tmp_path: Path) -> None:
    read = reader(gpu=False, powercap=tmp_path)
    assert spent(read(), read(), 1) == Energy(None, 1, reason="this machine shows no RAPL counters")
    part = EnergyReading({"RAPL": (1.0, 0.0)}, "NVML cannot read the GPUs' energy")
    assert spent(part, part, 1).joules is None
    assert figures(result(measurement(1.0))).power == "not measurable here: no"


@pytest.mark.parametrize("count", [6, 10, 17, 40])
def test_an_interval_is_as_sure_as_it_says_and_no_wider(count: int) -> None:
    low, high = interval([float(value) for value in range(count)])
    assert high == count - 1 - low

    def missed(outside: int) -> float:  # that the true median lies among so many values at an end
        return 2 * sum(comb(count, k) for k in range(outside)) / 2**count

    assert missed(int(low) + 1) <= 0.05 < missed(int(low) + 2)


def test_too_few_values_have_no_interval() -> None:
    with pytest.raises(ValueError, match="5 values"):
        interval([1.0] * 5)


def paired(ratios: list[float]) -> list[tuple[Measurement, Measurement]]:
    return [(measurement(100.0), measurement(100.0 * ratio)) for ratio in ratios]


@pytest.mark.parametrize(
    ("ratios", "state"),
    [
        ([0.8, 0.81, 0.79, 0.8, 0.82, 0.8], "failed"),
        ([0.99, 1.01, 1.0, 0.98, 1.0, 1.02], "passed"),
        ([0.7, 1.3, 1.0, 0.9, 1.1, 0.8], "undecided"),
    ],
)
def test_noise_does_not_decide(ratios: list[float], state: str) -> None:
    assert judged(comparison("a", "b", Workload(), paired(ratios)), 0.05).state == state


def test_pairs_take_turns() -> None:
    order: list[str] = []

    def side(name: str) -> Measurement:
        order.append(name)
        return measurement(1.0)

    told: list[tuple[int, int]] = []
    in_alternation(lambda: side("a"), lambda: side("b"), 3, lambda *done: told.append(done))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("12.5 %".replace(" ", ""), 0.125)])
def test_percentages(text: str, value: float) -> None:
    assert percentage(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "-5%", "100%", "5"])
def test_what_is_no_percentage(text: str) -> None:
    with pytest.raises(UsageError):
        percentage(text)


def test_results_are_numbered_and_come_back_as_they_were(tmp_path: Path) -> None:
    results = Results(tmp_path / "perf")
    wanted = result(measurement(5.0), measurement(7.0), price=0.9)
    assert results.all() == []
    assert results.keep(wanted) == replace(wanted, number=1)
    results.keep(replace(wanted, package="q"))
    assert results.get(1) == replace(wanted, number=1)
    assert [each.number for each in results.all()] == [2, 1]
    assert [each.number for each in results.all("p")] == [1]
    with pytest.raises(NotFoundError, match="no result 3"):
        results.get(3)


def test_results_that_are_kept_together_all_stay(tmp_path: Path) -> None:
    results = Results(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: results.keep(result(measurement(float(n + 1)))), range(16)))
    assert sorted(each.measurements[0].throughput for each in results.all()) == [float(n + 1) for n in range(16)]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".json"] == []


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "000001.json").write_text("{")
    with pytest.raises(StorageError, match=r"000001\.json"):
        Results(tmp_path).all()


def test_the_page_holds_the_figures_and_needs_no_network() -> None:
    page = html([result(measurement(1234.5), measurement(2345.6, load=Workload(concurrency=2)), price=1.0)])
    for text in ("1,234.5", "2 in flight", "not measurable here: no", "1.5 KiB", "Latency and throughput", "&lt;s&gt;"):
        assert text in page
    assert "<script" not in page
    assert "Where the time goes" in page
    assert "prefers-color-scheme" in page
    assert page.count("<circle") == 4  # p50 and p99 of each
    assert len(page) < 50_000

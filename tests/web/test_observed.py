"""Figures over an hour and a day: means, few packages, and gaps where nothing was measured."""

from __future__ import annotations

from datetime import datetime, timezone

from tritonpm.hardware.nvml import Gpus
from tritonpm.operations.monitor.snapshot import MachineLoad, PackageLoad, ServerLoad, Snapshot
from tritonpm.triton.rates import Rates
from tritonpm.web.observed import DAY, HOUR, FigureArchive, figure_history

START = 1_200_000.0  # at a whole step of either period


def snapshot(number: int, time: float, *rates: tuple[str, float], cpu: float = 50.0) -> Snapshot:
    moment = datetime.fromtimestamp(START + time, timezone.utc)
    loads = tuple(PackageLoad(name, Rates(asked), None) for name, asked in rates)
    return Snapshot(number, moment, 2.0, MachineLoad(2, cpu, 3, 4), Gpus(()), ServerLoad("live"), loads)


def test_a_step_is_the_mean_of_what_was_measured_in_it() -> None:
    archive = FigureArchive()
    for number in range(10):  # 20 seconds: two steps of an hour, one of a day
        archive.add(snapshot(number, 2 * number, ("a", float(number)), cpu=10.0 * (number // 5)))
    hour, day = archive.history(HOUR), archive.history(DAY)
    assert (hour.step, day.step) == (10.0, 120.0)
    assert hour.series["package/a/requests_per_second"] == (2.0, 7.0)
    assert hour.series["machine/cpu_percent"] == (0.0, 10.0)
    assert day.series["package/a/requests_per_second"] == (4.5,)
    assert "package/a/p99_us" not in day.series  # nobody knows it


def test_what_was_not_measured_is_a_gap() -> None:
    archive, taken = FigureArchive(), [snapshot(1, 0), snapshot(2, 2), snapshot(3, 600), snapshot(4, 602)]
    for one in taken:
        archive.add(one)
    assert archive.history(HOUR).series["machine/cpu_percent"] == (50.0, None, 50.0)
    assert archive.history(DAY).series["machine/cpu_percent"] == (50.0, None, 50.0)
    minutes = figure_history(taken)
    assert minutes.series["machine/cpu_percent"] == (50.0, 50.0, None, 50.0, 50.0)
    assert minutes.numbers == (1, 2, 2, 3, 4)
    assert FigureArchive().history(DAY).times == ()


def test_it_keeps_so_much_and_no_more() -> None:
    archive = FigureArchive()
    for number in range(2000):
        archive.add(snapshot(number, 10.0 * number))
    assert len(archive.history(HOUR).times) <= 361
    crowd = FigureArchive()
    crowd.add(snapshot(1, 0, *((f"p{number}", float(number)) for number in range(100))))
    kept = {name.split("/")[1] for name in crowd.history(DAY).series if name.startswith("package/")}
    assert kept == {f"p{number}" for number in range(60, 100)}

"""The monitor's data on the page: one ring's snapshots as columns and as tables; GPUs of all kinds, or none."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import httpx
import pytest

from tests.support.command import run, started
from tests.support.fake_nvml import build, variables
from tests.support.load import under_load
from tests.support.models import scaled
from tests.support.page import Site, zipped
from tests.support.waiting import PATIENCE, until
from tests.support.workspaces import opened
from tritonpm.hardware.nvml import Gpus, GpuSample, Mig
from tritonpm.operations.monitor.snapshot import MachineLoad, PackageLoad, ServerLoad, Snapshot
from tritonpm.triton.rates import Rates
from tritonpm.web.observed import figure_history


def snapshot(number: int, *packages: PackageLoad, gpus: tuple[GpuSample, ...] = ()) -> Snapshot:
    moment = datetime.fromtimestamp(1000 + 2 * number, timezone.utc)
    return Snapshot(number, moment, 2.0, MachineLoad(2, 50.0, 3, 4), Gpus(gpus), ServerLoad("live"), tuple(packages))


def test_figures_are_columns_with_gaps() -> None:
    part = Mig(0, "part", "u", 5, 9, None)
    gpu = GpuSample(1, utilisation=7, power=12.5, mig=(part,))
    figures = figure_history(
        [snapshot(4), snapshot(5, PackageLoad("a", Rates(1.5, p99_us=8.0), None), gpus=(gpu,)), snapshot(6)]
    )
    assert (figures.numbers, figures.times) == ((4, 5, 6), (1008.0, 1010.0, 1012.0))
    assert figures.series["machine/cpu_percent"] == (50.0, 50.0, 50.0)
    assert figures.series["package/a/requests_per_second"] == (None, 1.5, None)
    assert figures.series["package/a/p50_us"] == (None, None, None)
    assert figures.series["gpu/1/power"] == (None, 12.5, None)
    assert figures.series["gpu/1.0/memory_used"] == (None, 5, None)
    assert "gpu/1/temperature" not in figures.series
    assert figure_history([]).series == {}


@pytest.mark.server
def test_a_load_is_in_the_history_and_in_the_table(live: Site, tmp_path: Path) -> None:
    live.done(live.upload(zipped(tmp_path / "in", scaled(31.0), "watched")))
    live.done(live.post("/packages/watched/load"))
    with under_load(opened(live.root), "watched", clients=1):
        rate = "package/watched/requests_per_second"
        until(lambda: any(live.get("/monitor/history")["series"].get(rate, [0])[-1:]), every=0.2)
        snapshots = live.get("/monitor", params={"last": 2})
        table = live.http.get("/monitor/now").text
    series = live.get("/monitor/history")["series"]
    assert [value for value in series["package/watched/p99_us"] if value]
    assert [taken["number"] for taken in snapshots] == [snapshots[1]["number"] - 1, snapshots[1]["number"]]
    [load] = [package for package in snapshots[1]["packages"] if package["name"] == "watched"]
    assert load["rates"]["p50_us"] > 0
    assert load["usage"] is None  # compiled backends run in the server's own process
    assert snapshots[1]["server"]["usage"]["memory_resident"] > 0
    assert '<a href="/packages/watched">watched</a>' in table
    assert "no NVIDIA driver found" in table
    last = snapshots[1]["number"]
    assert all(number > last for number in live.get("/monitor/history", params={"after": last})["numbers"])


@pytest.mark.long
def test_gpus_are_shown_with_what_they_do_not_tell(tmp_path: Path) -> None:
    run("init", tmp_path / "w")
    library = variables(build(tmp_path / "nvml"), pid=4242)
    with started("ui", "-w", tmp_path / "w", "--port", 0, **library) as (_, url):
        text = measured(url, "en")
        for said in ("Fake GPU 0", "4.0", "Fake MIG 1g.5gb", "4242", "1 GiB / 24 GiB"):
            assert said in text
        assert "GPU 2: the GPU is lost: it no longer answers on the bus" in text
        assert "GPU 1, " in text
        assert "this GPU does not report it" in text
        assert "GPU 2: GPU 已丢失" in measured(url, "zh-CN")
        series = httpx.get(f"{url}api/v1/monitor/history", trust_env=False, timeout=PATIENCE).json()["series"]
        assert series["gpu/0/utilisation"][0] is not None
        assert series["gpu/4.3/memory_used"][0] == 1 << 30
    with started("ui", "-w", tmp_path / "w", "--port", 0, **{**library, "FAKE_NVML_INIT": "9"}) as (_, url):
        assert "the NVIDIA driver is not loaded" in measured(url, "en")
        assert "chưa được nạp" in measured(url, "vi")


def measured(url: str, language: str) -> str:
    """The tables, once there is something in them."""

    def text() -> str:
        text = httpx.get(
            f"{url}monitor/now", headers={"accept-language": language}, trust_env=False, timeout=PATIENCE
        ).text
        return " ".join(text.split()) if "<section" in text else ""

    return until(text, every=0.1)


def test_without_its_catalogue_the_monitor_goes_on(site: Site) -> None:
    database = opened(site.root).workspace.database
    content, last = database.read_bytes(), site.get("/monitor/history")["numbers"][-1]
    database.write_bytes(b"rotten" * 1000)
    try:
        until(lambda: site.get("/monitor/history")["numbers"][-1] >= last + 2, every=0.1)
    finally:
        database.write_bytes(content)
    assert json.loads(site.http.get("/api/v1/monitor").text)[0]["server"]["state"] == "stopped"

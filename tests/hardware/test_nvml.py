"""Samples of GPUs, through nvidia-ml-py and a library with NVML's ABI: what is told, what is not, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_nvml import LIBRARY, build, variables

MIB = 1 << 20
SAMPLE = """
import msgspec
from tritonpm.hardware.nvml import Nvml
with Nvml() as nvml:
    print(msgspec.json.encode(nvml.sample()).decode())
"""
AGAIN = """
import os
from tritonpm.hardware.nvml import Nvml
with Nvml() as nvml:
    print(len(nvml.sample().devices))
    os.environ["FAKE_NVML_COUNT"] = "1"  # uninitialised: the driver went away
    print(nvml.sample().reason)
    os.environ["FAKE_NVML_INIT"] = "9"
    print(nvml.sample().reason)
    del os.environ["FAKE_NVML_COUNT"], os.environ["FAKE_NVML_INIT"]
    print(len(nvml.sample().devices))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def run(script: str, library: Path, **behaviour: object) -> str:
    environment = variables(library, **behaviour)
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def sample(library: Path, **behaviour: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(SAMPLE, library, **behaviour))
    return found


@pytest.fixture(scope="module")
def devices(library: Path) -> list[dict[str, Any]]:
    found = sample(library, pid=77)
    assert found["reason"] == ""
    return list(found["devices"])


def test_a_gpu_that_tells_all(devices: list[dict[str, Any]]) -> None:
    assert devices[0] == {
        "index": 0, "reason": "", "name": "Fake GPU 0", "uuid": "GPU-0", "utilisation": 37,
        "memory_used": 1024 * MIB, "memory_total": 24576 * MIB, "temperature": 61, "power": 72.5, "power_limit": 320,
        "clock_graphics": 1740, "clock_memory": 10501, "processes": [{"pid": 77, "memory": 512 * MIB}],
        "mig": [], "missing": {},
    }  # fmt: skip


def test_what_a_gpu_does_not_tell_has_a_reason(devices: list[dict[str, Any]]) -> None:
    small = devices[1]
    unsupported = {"utilisation", "power", "power_limit", "clock_graphics", "clock_memory"}
    assert {name for name, why in small["missing"].items() if why == "this GPU does not report it"} == unsupported
    assert small["missing"]["processes"] == "no permission to read it"
    assert {name for name, value in small.items() if value is None} == set(small["missing"])
    assert (small["memory_used"], small["temperature"], small["reason"]) == (1024 * MIB, 61, "")


def test_lost_gpus_are_listed_as_lost(devices: list[dict[str, Any]]) -> None:
    gone, going = devices[2:4]
    for lost in (gone, going):
        assert lost["reason"] == "the GPU is lost: it no longer answers on the bus"
        assert lost["memory_used"] is lost["processes"] is lost["temperature"] is None
    assert (gone["name"], going["name"]) == (None, "Fake GPU 3")


def test_the_parts_of_a_partitioned_gpu(devices: list[dict[str, Any]]) -> None:
    parts = devices[4]["mig"]
    assert [(part["index"], part["uuid"]) for part in parts] == [(0, "MIG-0"), (3, "MIG-1")]
    assert parts[0]["memory_total"] == 5120 * MIB
    assert parts[1]["processes"] == [{"pid": 4000001, "memory": None}]  # of which the driver does not tell the memory
    assert all(device["mig"] == [] for device in devices[:4])


def test_an_old_driver_lacks_functions(tmp_path: Path) -> None:
    found = sample(build(tmp_path, "-DOLD"))["devices"][0]
    assert found["missing"] == {"power_limit": "this NVIDIA driver is too old to report it"}
    assert found["power"] == 72.5


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"init": 9}, "the NVIDIA driver is not loaded"),
        ({"init": 4}, "no permission to read it"),
        ({"init": 18}, "the NVIDIA driver was updated, but not reloaded: restart the machine"),
        ({"init": 999}, "NVML says: Unknown Error"),
        ({"gpus": 0}, "the NVIDIA driver reports no GPU"),
    ],
)
def test_no_gpu_has_a_reason(library: Path, behaviour: dict[str, int], reason: str) -> None:
    assert sample(library, **behaviour) == {"devices": [], "reason": reason}


def test_no_driver(tmp_path: Path) -> None:
    (tmp_path / LIBRARY).write_text("no library")  # found before a driver that the machine may have
    assert sample(tmp_path) == {"devices": [], "reason": "no NVIDIA driver found"}


def test_a_driver_that_comes_back_is_opened_again(library: Path) -> None:
    said = run(AGAIN, library).splitlines()
    assert (said[0], said[2], said[3]) == ("5", "the NVIDIA driver is not loaded", "5")
    assert said[1].startswith("NVML says: ")


TARGETS = """
import os
from tritonpm.hardware import gpus, target
def seen():
    print([gpu.index for gpu in target().gpus], gpus()[1])
for count in ("1", "2"):
    os.environ["FAKE_NVML_GPUS"] = count
    seen()
os.environ["FAKE_NVML_COUNT"] = "1"  # uninitialised: the driver went away
seen()
os.environ["FAKE_NVML_INIT"] = "9"
seen()
del os.environ["FAKE_NVML_COUNT"], os.environ["FAKE_NVML_INIT"]
seen()
"""


def test_a_target_is_the_machine_as_it_is_now(library: Path) -> None:
    one, two, gone, absent, back = run(TARGETS, library, gpus=1).splitlines()
    assert (one, two, back) == ("[0] ", "[0, 1] ", "[0, 1] ")
    assert gone.startswith("[] NVML cannot read the GPUs")
    assert absent.startswith("[] no NVIDIA driver found")

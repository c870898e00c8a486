"""What a machine must have: each requirement met and unmet, in its own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.core.errors import CapacityError, RequirementError, UsageError
from tritonpm.core.types import Gpu
from tritonpm.core.units import MIB
from tritonpm.hardware.host import Host, core_generation, cpu_of, host, version
from tritonpm.hardware.memory import evictable, need, require_room
from tritonpm.hardware.requirements import REQUIREMENTS, PackageNeeds, require, unmet

CORE = "Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz"
PC = Host(CORE, frozenset({"avx", "avx2"}), "496.13", 0)
GPU = PackageNeeds(frozenset({"gpu"}))
VISION = replace(GPU, profile="mech-vision")

# requirement → (host that lacks it, what is wanted, words, a host that has it)
CASES = {
    "driver": (replace(PC, driver="471.9"), GPU, "472.50 or later; here is driver 471.9", PC),
    "driver-of-cuda": (replace(PC, cuda=12), PackageNeeds(frozenset({"gpu-optimised"})), "CUDA 12: 525.60.13 or later", replace(PC, cuda=12, driver="525.60.13")),
    "unsteady-driver": (replace(PC, driver="531.1"), VISION, "run times fluctuate", PC),
    "core-generation": (replace(PC, cpu="Intel(R) Core(TM) i5-4590"), VISION, "generation 6 or later", PC),
    "avx2": (replace(PC, flags=frozenset({"sse4_2"})), PackageNeeds(backends=frozenset({"openvino"})), "AVX2", PC),
    "cascade-profile": (
        PC, PackageNeeds(cascade=True, exporter="mech-dlk", profile="mech-vision:1.7.1"), "1.7.2 or later", None,
    ),
}  # fmt: skip


def test_every_requirement_has_its_case() -> None:
    assert set(CASES) == {row.name for row in REQUIREMENTS}


@pytest.mark.parametrize("name", CASES)
def test_unmet_says_what_is_needed_and_what_was_found(name: str) -> None:
    lacking, wanted, words, having = CASES[name]
    found = {each.name: each for each in unmet(lacking, wanted)}
    assert words in found[name].sentence
    if having:
        assert name not in {each.name for each in unmet(having, wanted)}
    else:
        assert not unmet(lacking, replace(wanted, profile="mech-vision:1.7.2"))


def test_only_errors_are_refused_and_can_be_ignored_knowingly() -> None:
    require(unmet(replace(PC, driver="531.1"), VISION), "p")
    with pytest.raises(RequirementError, match=r"p: .*no NVIDIA driver.*--ignore-requirements"):
        require(unmet(replace(PC, driver=""), GPU), "p")


def test_the_vision_profile_is_the_only_one_that_warns_of_new_drivers() -> None:
    assert not unmet(replace(PC, driver="580.1"), GPU)
    with pytest.raises(UsageError, match="no profile 'mech-eye'"):
        unmet(PC, PackageNeeds(profile="mech-eye"))


@pytest.mark.parametrize(
    ("cpu", "generation"),
    [
        ("Intel(R) Core(TM) i5-6500 CPU @ 3.20GHz", 6),
        ("Intel(R) Core(TM) i7-10700K CPU", 10),
        ("12th Gen Intel(R) Core(TM) i7-12700", 12),
        ("Intel(R) Core(TM) Ultra 7 155H", 14),
        ("Intel(R) Core(TM) i7 CPU 950", None),
        ("Intel(R) Core(TM) i7-950", 1),
        ("Intel(R) Core(TM) i7-1065G7 CPU @ 1.30GHz", 10),
        ("Intel(R) Core(TM) m3-6Y30 CPU", 6),
        ("Intel(R) Core(TM) 7 150U", 14),
        ("Intel(R) Xeon(R) Gold 6130", None),
        ("AMD EPYC", None),
    ],
)
def test_the_generation_of_a_core(cpu: str, generation: int | None) -> None:
    assert core_generation(cpu) == generation


@given(st.text())
def test_any_text_is_read_as_cpuinfo_and_as_a_version(text: str) -> None:
    name, flags = cpu_of(text)
    assert isinstance(name, str)
    assert all(flag.strip() == flag for flag in flags)
    core_generation(text)
    assert all(part >= 0 for part in version(text))


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4))
def test_versions_compare_by_number(parts: list[int]) -> None:
    text = ".".join(map(str, parts))
    assert version(text) == tuple(parts)
    assert version(text + "-beta") == tuple(parts)


def test_this_machine_is_read() -> None:
    assert host().cpu


def test_what_was_measured_comes_before_the_estimate() -> None:
    assert need(100 * MIB, 2, workspace=50 * MIB).bytes == 300 * MIB
    assert "estimated" in need(100 * MIB, 2).how
    known = need(100 * MIB, 2, measured=70 * MIB)
    assert (known.bytes, "measured: 70 MiB" in known.how) == (140 * MIB, True)


def test_too_little_room_is_refused_with_both_numbers_and_who_could_go() -> None:
    gpu = Gpu(1, "a GPU", "8.9", 1000 * MIB, 100 * MIB)
    wanted = need(0, 1, measured=300 * MIB)
    with pytest.raises(CapacityError, match=r"needs 300 MiB on GPU 1 .*100 MiB are free; unload small"):
        require_room(wanted, [gpu], {"big": {1: 500 * MIB}, "small": {1: 250 * MIB}, "far": {0: 900 * MIB}}, where="p")
    with pytest.raises(CapacityError, match="use another GPU"):
        require_room(wanted, [gpu], {"far": {0: 900 * MIB}}, where="p")
    require_room(need(0, 1, measured=100 * MIB), [gpu], {}, where="p")


@given(st.integers(1, 1000), st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 400)))
def test_those_who_could_go_make_room_and_none_is_superfluous(missing: int, held: dict[str, int]) -> None:
    go = evictable(missing, held)
    if sum(held.values()) < missing:
        assert go == []
    else:
        total = sum(held[name] for name in go)
        assert total >= missing
        assert all(total - held[name] < missing for name in go)

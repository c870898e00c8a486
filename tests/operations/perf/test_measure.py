"""How many instances are worth it: the rule, and a measurement on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonpm.operations.manager import Manager, init

from tests.support.models import scaled
from tests.support.packages import single
from tritonpm.operations import autoscale as measuring
from tritonpm.settings.settings import GROWTH


@given(st.lists(st.floats(1.0, 1e4), min_size=5, max_size=5))
def test_the_smallest_number_beyond_which_doubling_brings_nothing(throughput: list[float]) -> None:
    rates = dict(zip((1, 2, 4, 8, 16), throughput, strict=True))

    def measure(fewer: int, more: int) -> tuple[float, float, float]:
        return rates[fewer], rates[more], rates[more] / rates[fewer]

    count, trials = measuring.smallest(measure)
    assert count == 16 or rates[count * 2] < GROWTH * rates[count]
    tried = [trial.instances for trial in trials]
    assert tried == [1, 2, 4, 8, 16][: len(tried)]
    assert all(rates[n * 2] >= GROWTH * rates[n] for n in tried if n < count)


@pytest.mark.server
def test_instances_are_measured_on_a_server_that_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WINDOW", 0.1)
    init(tmp_path / "workspace")
    manager = Manager.open(tmp_path / "workspace")
    manager.import_package(single(tmp_path / "in", scaled(2.0)))
    count, trials = manager.measure_instances("p")
    assert count in (1, 2, 4)
    assert trials[0].throughput > 0
    assert not list(manager.workspace.staging.iterdir())
    assert not list(manager.workspace.repository.iterdir())

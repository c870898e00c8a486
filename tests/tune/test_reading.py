"""What one measurement says, several together, and one that an earlier tritonpm wrote down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.settings.settings import Settings
from tritonpm.tune.journal import Journal, JournalEntry
from tritonpm.tune.pareto import MeasuredSettings, Tuned
from tritonpm.tune.reading import Reading, mean
from tritonpm.tune.report import html
from tritonpm.tune.space import Candidate

READING = Reading(10.0, 2000.0, 4000.0, {"a": 0.1}, 1 << 20, 0.5, 3210.0)


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0.1, 5)), min_size=1))
def test_the_mean_of_readings_lies_between_them(listed: list[tuple[float, float]]) -> None:
    readings = [Reading(rate, rate, rate, {"a": rate}, None, seconds, rate) for rate, seconds in listed]
    together, rates = mean(readings), [rate for rate, _ in listed]
    for value in (together.throughput, together.p50, together.p95, together.p99, together.work["a"]):
        assert value is not None
        assert min(rates) * 0.999 <= value <= max(rates) * 1.001
    assert together.seconds == pytest.approx(sum(seconds for _, seconds in listed))


def test_p95_is_of_all_readings_or_not_known() -> None:
    assert mean([READING, READING]).p95 == pytest.approx(3210.0)
    assert mean([READING, replace(READING, p95=None)]).p95 is None


def test_a_journal_without_p95_goes_on(tmp_path: Path) -> None:
    journal = Journal.of(tmp_path, "p", "a request", again=False)
    journal.add(JournalEntry(Candidate((), 1), reading=READING))
    line = msgspec.json.decode(journal.path.read_bytes())
    del line["reading"]["p95"]
    journal.path.write_bytes(msgspec.json.encode(line) + b"\n")
    [entry] = Journal.of(tmp_path, "p", "a request", again=False).entries
    assert entry.reading == replace(READING, p95=None)


def test_the_page_shows_p95_where_it_is_known() -> None:
    known = MeasuredSettings("a", 10.0, 2000.0, 4000.0, 1, 1.0, None, 1.0, True, True, 1, p95=3210.0)
    rows = (known, replace(known, words="b", p95=None))
    tuned = Tuned("p", "throughput", None, "done", 1.0, 2, rows, None, Settings(), Settings(), ())
    page = html(tuned)
    assert "<th>p95 ms</th>" in page
    assert "<td class=n>2.00</td><td class=n>3.21</td><td class=n>4.00</td>" in page
    assert "<tr class=chosen><td class=n>a</td>" in page
    assert "beaten" not in page
    assert "<td class=n>2.00</td><td class=n></td><td class=n>4.00</td>" in page

"""Under which load is compared: what the server's statistics say of it."""

from __future__ import annotations

from tritonpm.operations.optimize.workload import between
from tritonpm.perf.measurement import Workload
from tritonpm.triton.statistics import Duration, Statistics


def looked(requests: int, seconds: float, inferences: int) -> Statistics:
    return Statistics("p", inferences=inferences, success=Duration(requests, round(seconds * 1e9)))


def test_requests_in_flight_follow_from_their_time_on_the_server() -> None:
    first = looked(10, 1.0, 40)
    # 800 requests in 2 s that took 40 ms each: 16 at once on average
    assert between(first, looked(810, 33.0, 40 + 3200), 2.0) == Workload(16, batch=4)
    assert between(first, looked(12, 1.001, 42), 1.0) == Workload(1, batch=1)


def test_where_nobody_asks_nothing_is_known() -> None:
    assert between(looked(10, 1.0, 10), looked(10, 1.0, 10), 1.0) is None
    assert between(looked(10, 1.0, 10), looked(2, 0.1, 2), 1.0) is None  # it was loaded anew meanwhile

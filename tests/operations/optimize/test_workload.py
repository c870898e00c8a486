"""Under which load is compared: what the server's statistics say of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.models import WIDTH, scaled
from tests.support.packages import single
from tests.support.workspaces import QUICKLY, opened
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.optimize.workload import AS_SERVED, MANY, ComparisonRequest, between, loads_for
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.stop import stop
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


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    yield context
    stop(context, 15)
    context.catalogue.close()


def test_what_is_named_comes_first_and_what_is_usual_last(context: Context) -> None:
    few = 2 * context.target.cores
    assert loads_for(context, "p", ComparisonRequest(64, 2), joins=True).loads == (Workload(64, batch=2),)
    assert loads_for(context, "p", ComparisonRequest(batch=2), joins=True).loads == (Workload(few, batch=2),)
    usual = loads_for(context, "p", ComparisonRequest(), joins=False)
    assert (usual.loads, usual.usual) == ((Workload(few),), True)
    assert [load.concurrency for load in loads_for(context, "p", ComparisonRequest(), joins=True).loads] in (
        [few, MANY], [few],
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.server
def test_a_package_is_compared_under_the_load_that_it_is_served_with(context: Context) -> None:
    serve(context, None, **QUICKLY)
    load(context, "p")
    assert loads_for(context, "p", ComparisonRequest(), joins=True).usual  # nobody asks it
    ended = threading.Event()

    def ask() -> None:
        with connect(context) as client:
            while not ended.is_set():
                client.infer("p", {"x": np.ones((3, WIDTH), np.float32)})

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        served = loads_for(context, "p", ComparisonRequest(), joins=True)
    finally:
        ended.set()
        asking.join()
    assert (served.loads, served.source) == ((Workload(1, batch=3),), AS_SERVED)

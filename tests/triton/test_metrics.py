"""What models did, as the real server counts it: by its metrics and by its statistics; rates are never negative."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support.repositories import BASE, ensemble, model
from tests.support.running import Running
from tests.support.waiting import until
from tritonpm.core.errors import InferenceError, ServerError, UsageError
from tritonpm.triton.client import Client
from tritonpm.triton.metrics import endpoint, scrape
from tritonpm.triton.processes import processes
from tritonpm.triton.rates import difference, rates
from tritonpm.triton.statistics import Counters, ServerCounters, by_metrics, by_statistics

ARRAY = np.ones((3, 4), np.float32)
amounts = st.integers(0, 10**12)
counters = st.builds(
    Counters, st.just("m"), st.sampled_from(["1", "2"]), amounts, amounts, amounts, amounts, amounts, amounts, amounts
)

pytestmark = pytest.mark.usefixtures("python_backends")


def of(told: ServerCounters, model: str) -> Counters:
    [found] = [each for each in told.counters if each.model == model]
    return found


@pytest.mark.server
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_both_sources_count_what_was_sent(running: Running, protocol: str) -> None:
    shutil.rmtree(running.repository)
    running.repository.mkdir()
    ensemble(running.repository)
    server = running.server
    with Client(getattr(server, protocol), protocol=protocol) as client:
        client.load_and_wait("e")
        assert of(scrape(server.metrics), "e").p50_us is None  # nobody has asked yet
        for _ in range(5):
            client.infer("e", {"in": ARRAY})
        until(lambda: of(scrape(server.metrics), "m2").requests == 5)
        until(lambda: of(by_statistics(client.statistics()), "e").requests == 5)
        metrics, stats = scrape(server.metrics), by_statistics(client.statistics())
        for model in ("e", "m", "m2"):
            ours, theirs = of(metrics, model), of(stats, model)
            assert (ours.requests, ours.inferences, ours.failures) == (5, 15, 0)
            assert replace(theirs, pending=0, p50_us=ours.p50_us, p99_us=ours.p99_us) == _within(ours, theirs)
            assert ours.p50_us and ours.p99_us and 0 < ours.p50_us <= ours.p99_us
        assert (metrics.source, metrics.percentiles) == ("metrics", True)
        assert (stats.source, stats.percentiles) == ("statistics", False)
        assert of(stats, "e").p50_us is of(stats, "e").pending is None
        client.unload_and_wait("e", dependents=True)
        until(lambda: not any(each.loaded for each in scrape(server.metrics).counters))


def _within(one: Counters, other: Counters) -> Counters:
    """`one` with the other's times where they differ by the rounding of three parts of each request only."""
    for name in ("request_us", "queue_us", "compute_us"):
        assert abs(getattr(one, name) - getattr(other, name)) <= 3 * one.requests, name
    return replace(one, request_us=other.request_us, queue_us=other.queue_us, compute_us=other.compute_us)


@pytest.mark.server
def test_failures_are_counted_once(running: Running) -> None:
    """Triton's metrics go on telling the failures of a model that was unloaded, and count on after the next load."""
    queue = "timeout_action: REJECT default_timeout_microseconds: 1"
    wait = "preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 20000"
    batching = f"dynamic_batching {{ default_queue_policy {{ {queue} }} {wait} }}\n"
    model(running.repository, BASE.replace('"m"', '"slow"') + batching, "slow")
    with Client(running.server.http) as client:
        client.load_and_wait("slow")
        with pytest.raises(InferenceError, match="timeout expired"):
            client.infer("slow", {"x": ARRAY})
        until(lambda: of(scrape(running.server.metrics), "slow").failures == 1)
        assert of(by_statistics(client.statistics()), "slow").failures == 1
        before = scrape(running.server.metrics)
        client.unload_and_wait("slow")
        until(lambda: not of(scrape(running.server.metrics), "slow").loaded)
        between = scrape(running.server.metrics)
        client.load_and_wait("slow")
        after = scrape(running.server.metrics)
        client.unload_and_wait("slow")
    assert of(after, "slow").loaded
    for earlier in (before, between):
        [counted] = [each for each in difference(earlier.counters, after.counters) if each.model == "slow"]
        assert counted.failures == 0


def table() -> bytes:
    """y = table[x], which fails where x is no place of the table."""
    floats = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["t", "i"], ["y"]),
    ]
    constant = numpy_helper.from_array(np.arange(10, dtype=np.float32), "t")
    graph = helper.make_graph(nodes, "g", floats[:1], floats[1:], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.server
def test_an_error_that_a_python_based_backend_answers_counts_as_a_request(running: Running) -> None:
    """A fact of Triton 2.51.0 that docs/monitor.md tells: such an error is no failure in its figures."""
    folder = model(running.repository, BASE.replace('"m"', '"table"'), "table")
    (folder / "1/model.onnx").write_bytes(table())
    with Client(running.server.http) as client:
        client.load_and_wait("table")
        with pytest.raises(InferenceError, match="ONNXRuntimeError"):
            client.infer("table", {"x": 100 * ARRAY})
        until(lambda: of(scrape(running.server.metrics), "table").requests == 1)
        assert (
            of(scrape(running.server.metrics), "table").failures
            == of(by_statistics(client.statistics()), "table").failures
            == 0
        )
        client.unload_and_wait("table")


@pytest.mark.server
def test_stubs_are_known_by_their_model(running: Running) -> None:
    shutil.rmtree(running.repository)
    running.repository.mkdir()
    ensemble(running.repository)
    with Client(running.server.http) as client:
        client.load_and_wait("e")
        used = processes(running.server)
        client.unload_and_wait("e", dependents=True)
    assert sorted(each.model for each in used) == ["", "m", "m2"]
    assert {each.pid for each in used if not each.model} == {running.server.pid}
    assert all(each.unique and 0 < each.unique <= each.resident for each in used)


@pytest.mark.server
def test_what_is_no_metrics_endpoint(running: Running) -> None:
    with pytest.raises(ServerError, match=r"no metrics were returned \(HTTP 40"):
        scrape(running.server.http)
    with pytest.raises(ServerError, match="no metrics were returned"):
        scrape("127.0.0.1:1")


def test_answers_that_are_no_metrics() -> None:
    with pytest.raises(ServerError, match="not Triton's metrics"):
        by_metrics('nv_inference_count{model="m"} not a number\n', where="here")
    assert by_metrics("").counters == []
    assert by_metrics('other_metric{model="m",version="1"} 3\n').counters == []


@pytest.mark.parametrize("address", ["", "localhost", ":8002", "host:", "host:port", "host:70000"])
def test_endpoints_are_checked(address: str) -> None:
    with pytest.raises(UsageError, match="not a metrics endpoint"):
        endpoint(address)


def test_endpoints_are_understood() -> None:
    assert endpoint("h:8002") == endpoint("http://h:8002/metrics") == ("h", 8002)
    assert endpoint("[::1]:8002") == ("::1", 8002)


@given(st.lists(counters, max_size=3), st.lists(counters, min_size=1, max_size=3), st.floats(0.01, 1e4))
def test_no_rate_is_negative(before: list[Counters], now: list[Counters], seconds: float) -> None:
    counted = difference(before, now)
    made = rates(counted, counted, seconds)
    figures = [
        made.requests_per_second,
        made.inferences_per_second,
        made.failures_per_second,
        made.executions_per_second,
    ]
    figures += [made.average_us, made.queue_us, made.compute_us]
    assert all(figure is None or figure >= 0 for figure in figures)


def test_rates_are_what_was_counted_between_two_looks() -> None:
    before = Counters("m", "1", 100, 1, 400, 50, 10_000, 1_000, 8_000)
    now = Counters("m", "1", 110, 3, 440, 55, 12_000, 1_500, 9_000, 2, 180.0, 900.0)
    counted = difference([before], [now])
    made = rates(counted, counted, 2.0)
    assert (made.requests_per_second, made.inferences_per_second, made.failures_per_second) == (5, 20, 1)
    assert (made.average_us, made.queue_us, made.compute_us) == (200, 50, 100)
    assert (made.p50_us, made.p99_us, made.pending) == (180, 900, 2)


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    before, now = Counters("m", "1", 100, 24, request_us=5000), Counters("m", "1", 7, 26, request_us=6000)
    [counted] = difference([before], [now])
    assert (counted.requests, counted.request_us, counted.failures) == (7, 6000, 2)
    [loaded] = difference([], [Counters("m", "1", 7)])
    assert loaded.requests == 7


def test_without_a_look_before_there_is_no_rate() -> None:
    made = rates([Counters("m", "1", 7, p50_us=3.0)], [], None)
    assert (made.requests_per_second, made.average_us, made.p50_us) == (None, None, 3.0)

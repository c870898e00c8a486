"""tritonpm beside other ways to serve the same model: same machine, same client, windows in turn (of serving.py)."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks import peers
from benchmarks.serving import BATCH, IN_FLIGHT, RESULTS, SHAPE, OnnxRuntime, OpenVino, Served, Window, machine
from tritonpm.triton import embedded

PEERS = RESULTS.with_name("peers.md")
LIMIT, OTHER, OURS = "OpenVINO alone (the limit)", "ONNX Runtime alone", "tritonpm"


@dataclass(frozen=True)
class Side:
    """One way to serve: a window of each measure, inferences per second and milliseconds."""

    name: str
    throughput: Window
    latency: Window
    pid: int | None = None  # of its server

    def processor(self) -> float:
        """Processor seconds spent so far by the client and by the server with all its processes."""
        own = time.process_time()
        if self.pid is None:
            return own
        server = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return own + sum(each.user + each.system for each in times)


@dataclass(frozen=True)
class Seen:
    """What the windows of one side gave, a value a round."""

    name: str
    throughput: tuple[float, ...]
    processor: tuple[float, ...]  # milliseconds of it for an inference, in the windows of throughput
    latency: tuple[float, ...]


def report(
    url: str, onnx_file: Path, ir_file: Path, precision: str, *, seconds: float, rounds: int, cache: Path
) -> str:
    """The comparison in Markdown: every side that can be started here, and why the others cannot be."""
    with ExitStack() as stack:
        work = ir_file.parents[3] / "peers"
        found, lacking = stack.enter_context(peers.started(ir_file, precision, work, cache))
        server = embedded.running(work.parent / "state")
        assert server is not None
        ours = peers.Peer(
            OURS, url, server.pid, {"throughput": "resnet50_openvino_throughput", "latency": "resnet50_openvino"}
        )
        sides = list(_sides(stack, [ours, *found], onnx_file, ir_file))
        seen = _measured(sides, seconds, rounds)
    lines = [
        "# Side by side with other servers",
        "",
        f"{machine()}; ResNet-50 in {precision} on OpenVINO, but for one row.",
        f"{rounds} windows of {seconds:g} s of each in turn, medians and quartiles.",
        "All but the bare runtimes are asked by one client over gRPC, tensors in the messages,",
        f"{IN_FLIGHT} requests in flight for throughput and one for latency.",
        "Shares are of what OpenVINO alone reaches in the same round: 100 % means that serving costs nothing.",
        "Processor time (of client and server, while throughput is measured) tells most where others use the machine:",
        "by the clock, a server of several processes then gets more of the machine than a runtime in one.",
        "",
        *_table(seen),
        *(f"\n{name} could not be started here: {reason.splitlines()[-1]}" for name, reason in lacking.items()),
    ]
    return "\n".join(lines) + "\n"


def _sides(stack: ExitStack, served: Sequence[peers.Peer], onnx_file: Path, ir_file: Path) -> Iterator[Side]:
    images = np.random.default_rng(1).random((BATCH, *SHAPE), dtype=np.float32)
    limit, other = OpenVino(ir_file), OnnxRuntime(onnx_file)
    for name, runtime in ((LIMIT, limit), (OTHER, other)):
        yield Side(name, runtime.throughput(images), runtime.latency(images[:1]))
    for peer in served:
        clients = {measure: Served(peer.url, model, shared=False) for measure, model in peer.models.items()}
        for client in clients.values():
            stack.callback(client.close)
            np.testing.assert_allclose(client.call(images)(), limit.answer(images), rtol=1e-3, atol=1e-6)
        yield Side(
            peer.name, clients["throughput"].throughput(images), clients["latency"].latency(images[:1]), peer.pid
        )


def _measured(sides: Sequence[Side], seconds: float, rounds: int) -> list[Seen]:
    """Every side once a round, each round begun by another one."""
    found: dict[str, tuple[list[float], ...]] = {side.name: ([], [], []) for side in sides}
    for side in sides:
        side.throughput(seconds / 2), side.latency(seconds / 2)  # warm
    for number in range(rounds):
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            for kept, measured in zip(found[side.name], _throughput(side, seconds), strict=False):
                kept.append(measured)
        for side in (*sides[first:], *sides[:first]):
            found[side.name][2].append(side.latency(seconds))
        print(f"side by side: round {number + 1} of {rounds}", file=sys.stderr)
    return [Seen(name, *map(tuple, values)) for name, values in found.items()]


def _throughput(side: Side, seconds: float) -> tuple[float, float]:
    """Inferences per second, and milliseconds of processor for one."""
    used, started = side.processor(), time.perf_counter()
    rate = side.throughput(seconds)
    count = rate * (time.perf_counter() - started)
    return rate, (side.processor() - used) / count * 1000


def _table(seen: Sequence[Seen]) -> Iterator[str]:
    limit = seen[0]
    yield (
        f"| Served by | Processor for an inference | Share | Spread | Throughput at batch {BATCH} | Share | Spread "
        "| Latency at batch 1 | Share | Spread |"
    )
    yield f"| --- |{' ---: |' * 9}"
    for side in seen:
        work = [least / one for one, least in zip(side.processor, limit.processor, strict=True)]
        fast = [one / most for one, most in zip(side.throughput, limit.throughput, strict=True)]
        quick = [least / one for one, least in zip(side.latency, limit.latency, strict=True)]
        yield (
            f"| {side.name} | {statistics.median(side.processor):.1f} ms | {_share(work)} "
            f"| {statistics.median(side.throughput):.1f} infer/s | {_share(fast)} "
            f"| {statistics.median(side.latency):.1f} ms | {_share(quick)} |"
        )


def _share(ratios: Sequence[float]) -> str:
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.0%} | {low:.0%} – {high:.0%}"

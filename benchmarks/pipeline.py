"""Pictures in, objects out: the server's way (`serve: image`, `encoded`) against a client with NumPy and Pillow.

    .venv/bin/python benchmarks/pipeline.py [--seconds 1.0] [--rounds 9] [--only classifier]

A classifier (shortest side, centre crop, averaged) and a detector (letterbox, 80 classes, suppression) of random
weights take pictures of two sizes. Each is served six times: as tensors, with its front, and with what decodes JPEG
before that, by ONNX Runtime and by OpenVINO, in an ensemble. All take turns, window by window, from the same closed
loop over gRPC, with the pixels in the message and in system shared memory, and with a JPEG in the message, which the
client's way decodes with Pillow first. What the ensemble itself costs is its time in the server less the times of its
members there. README.md has the summary that it prints.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc as grpc
from tritonclient.utils import shared_memory

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import machine
from tritonpm.meaning.decode import decoded
from tritonpm.meaning.geometry import Geometry
from tritonpm.meaning.placing import placed
from tritonpm.meaning.spec import Decode, Preprocess, decode, preprocess
from tritonpm.operations.context import open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.set import change
from tritonpm.operations.stop import stop
from tritonpm.triton.client import Client

RESULTS = Path(__file__).parent / "results" / "pipeline.md"
SIZES = ((480, 640), (1080, 1920))
IN_FLIGHT = 4
BACKENDS = ("onnxruntime", "openvino")
SENT = ("pixels in shared memory", "pixels in the message", "JPEG in the message")
SAID: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "classifier": {
        "preprocess": {
            "resize": "shortest-side", "shortest": 256, "size": [224, 224], "antialias": True, "scale": 1 / 255,
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        },
        "decode": {"kind": "classification", "activation": "softmax"},
    },
    "detector": {
        "preprocess": {"resize": "letterbox", "size": [320, 320], "fill": 114, "scale": 1 / 255},
        "decode": {"kind": "yolov8"},
    },
}  # fmt: skip


def network(kind: str, name: str) -> bytes:
    """Five convolutions, each half as large as the one before, and a head; a package of its own by its name."""
    from onnx import TensorProto, helper, numpy_helper

    random, weights, nodes, tensor, width = np.random.default_rng(0), [], [], "x", 3
    head = 84 * 8 if kind == "detector" else 128
    for index, wide in enumerate((16, 32, 64, 128, head)):
        scale = np.sqrt(2 / (9 * width))
        weights.append(
            numpy_helper.from_array(random.normal(0, scale, (wide, width, 3, 3)).astype(np.float32), f"w{index}")
        )
        nodes.append(helper.make_node("Conv", [tensor, f"w{index}"], [f"c{index}"], strides=[2, 2], pads=[1] * 4))
        nodes.append(helper.make_node("Relu" if index < 4 else "Identity", [f"c{index}"], [f"r{index}"]))
        tensor, width = f"r{index}", wide
    if kind == "detector":
        constants = {"flat": np.array([0, 84, -1], np.int64), "cut": np.array([4, 80], np.int64),
                     "size": np.float32(320), "far": np.float32(-5)}  # fmt: skip
        nodes += [
            helper.make_node("Reshape", [tensor, "flat"], ["rows"]),
            helper.make_node("Split", ["rows", "cut"], ["corners", "logits"], axis=1),
            helper.make_node("Sigmoid", ["corners"], ["shares"]),
            helper.make_node("Mul", ["shares", "size"], ["boxes"]),
            helper.make_node("Add", ["logits", "far"], ["rare"]),
            helper.make_node("Sigmoid", ["rare"], ["scores"]),
            helper.make_node("Concat", ["boxes", "scores"], ["y"], axis=1),
        ]
        side, shape = 320, ["batch", 84, 800]
    else:
        constants = {"last": random.normal(0, 0.1, (128, 1000)).astype(np.float32)}
        nodes += [
            helper.make_node("GlobalAveragePool", [tensor], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["vector"]),
            helper.make_node("MatMul", ["vector", "last"], ["y"]),
        ]
        side, shape = 224, ["batch", 1000]
    weights += [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    ends = [
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, sizes)]
        for end, sizes in (("x", ["batch", 3, side, side]), ("y", shape))
    ]
    graph = helper.make_graph(nodes, name, *ends, weights)
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


class Asker:
    """One model, asked with the input in the message or in system shared memory; not by two threads at once."""

    def __init__(self, url: str, model: str, name: str, dtype: str, *, shared: bool) -> None:
        self.client, self.model = grpc.InferenceServerClient(url), model
        self.name, self.dtype, self.shared = name, dtype, shared
        self.region, self.handle, self.size = f"tritonpm_pipeline_{os.getpid()}_{id(self)}", None, 0

    def __call__(self, array: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs."""
        tensor = grpc.InferInput(self.name, list(array.shape), self.dtype)
        if self.shared:
            if self.size != array.nbytes:
                self.close()
                self.handle, self.size = self._opened(array.nbytes), array.nbytes
            shared_memory.set_shared_memory_region(self.handle, [array])
            tensor.set_shared_memory(self.region, array.nbytes)
        else:
            tensor.set_data_from_numpy(array)
        answer = self.client.infer(self.model, [tensor])
        return {one.name: answer.as_numpy(one.name) for one in answer.get_response().outputs}

    def _opened(self, size: int) -> Any:
        handle = shared_memory.create_shared_memory_region(self.region, f"/{self.region}", size)
        self.client.register_system_shared_memory(self.region, f"/{self.region}", size)
        return handle

    def close(self) -> None:
        """Give the shared memory back."""
        if self.handle is not None:
            with suppress(grpc.InferenceServerException):  # a request may still hold it; the server's end lets it go
                self.client.unregister_system_shared_memory(self.region)
            shared_memory.destroy_shared_memory_region(self.handle)
            self.handle = None


class PillowClient:
    """What people write: Pillow resizes, NumPy does the rest."""

    def __init__(self, asker: Asker, said: Mapping[str, Mapping[str, object]]) -> None:
        self.asker = asker
        self.first: Preprocess = preprocess(said["preprocess"])
        self.then: Decode = decode(said["decode"])

    def __call__(self, picture: np.ndarray) -> Any:
        """One picture's objects; a JPEG is bytes."""
        if picture.dtype == np.object_:
            picture = opened(picture.item())
        tensor, geometry = self.prepared(picture)
        answer = self.asker(tensor)
        return decoded(answer, self.then, (), [geometry])[0]

    def prepared(self, picture: np.ndarray) -> tuple[np.ndarray, Geometry]:
        """The model's input, and where the picture lies in it."""
        from PIL import Image

        spec, (height, width) = self.first, picture.shape[:2]
        sides, canvas, (top, left) = placed(height, width, spec)
        small = np.asarray(Image.fromarray(picture).resize(sides[::-1], Image.Resampling.BILINEAR))
        if top < 0 or left < 0:
            small = small[-top : canvas[0] - top, -left : canvas[1] - left]
        elif sides != canvas:
            whole = np.full((*canvas, 3), int(spec.fill), np.uint8)
            whole[top : top + sides[0], left : left + sides[1]] = small
            small = whole
        pixels = small.astype(np.float32) * np.float32(spec.scale)
        if any(spec.mean):
            pixels = (pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
        geometry = Geometry((height, width), canvas, (sides[0] / height, sides[1] / width), (top, left))
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis]), geometry


@dataclass
class Way:
    """One way of asking, and what was measured of it."""

    name: str
    askers: list[Callable[[np.ndarray], Any]]  # one for each thread
    latencies: list[float]
    rates: list[float]
    processor: list[float]  # milliseconds of a request, of client and server together

    def measure(self, picture: np.ndarray, seconds: float, busy: Callable[[], float]) -> None:
        """A window one after the other, and one with several in flight; `busy` are the processor's seconds so far."""
        before = busy()
        ends, taken = time.perf_counter() + seconds, []
        while (started := time.perf_counter()) < ends:
            self.askers[0](picture)
            taken.append(time.perf_counter() - started)
        self.latencies.append(statistics.median(taken) * 1000)
        self.processor.append((busy() - before) / len(taken) * 1000)

        def work(ask: Callable[[np.ndarray], Any]) -> int:
            count = 0
            while time.perf_counter() < ends:
                ask(picture)
                count += 1
            return count

        started = time.perf_counter()
        ends = started + seconds
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            count = sum(pool.map(work, self.askers))
        self.rates.append(count / (time.perf_counter() - started))


@dataclass(frozen=True)
class Row:
    """What was measured of one network, picture, backend and way of sending; milliseconds, and pictures a second."""

    kind: str
    size: tuple[int, int]
    backend: str
    sent: str
    processor: Mapping[str, float]
    latency: Mapping[str, float]
    rate: Mapping[str, float]
    ensemble: float

    @property
    def line(self) -> str:
        """Of the whole table."""
        cells = [
            self.kind, _said(self.size), self.backend, self.sent,
            *(f"{self.processor[name]:.1f} ms" for name in ("model", "client", "server")),
            *(f"{self.latency[name]:.1f} ms" for name in ("client", "server")),
            *(f"{self.rate[name]:.1f}/s" for name in ("client", "server")), f"{self.ensemble:.2f} ms",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


def _said(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def summary(rows: Sequence[Row]) -> list[str]:
    """Five lines: how many times as many pictures as the client's way the server's answers, of all networks."""
    columns = list(itertools.product(SIZES, BACKENDS))
    lines = [
        f"| Server's way : client's | {' | '.join(f'{_said(size)}, {backend}' for size, backend in columns)} | "
        "Ensemble's own |",
        f"| --- |{' ---: |' * (len(columns) + 1)}",
    ]
    for sent in SENT:
        of = [row for row in rows if row.sent == sent]
        ratios = [
            [row.rate["server"] / row.rate["client"] for row in of if (row.size, row.backend) == column]
            for column in columns
        ]
        cells = [*(_between(one, " ×") for one in ratios), _between([row.ensemble for row in of], " ms")]
        lines.append(f"| {sent} | {' | '.join(cells)} |")
    return lines


def _between(values: Sequence[float], unit: str) -> str:
    if not values:
        return "–"
    least, most = f"{min(values):.1f}", f"{max(values):.1f}"
    return f"{least}{unit}" if least == most else f"{least} – {most}{unit}"


@contextmanager
def served(kinds: Sequence[str]) -> Iterator[tuple[Client, str, Callable[[], float]]]:
    """Each network as tensors and with its front, by both backends, on one server."""
    with tempfile.TemporaryDirectory(prefix="tritonpm-benchmark-") as folder:
        root = Path(folder)
        init(root / "line")
        with open_context(root / "line") as context:
            serve(context, detach=True, standard_ports=False)
            try:
                for kind, said in ((kind, SAID[kind]) for kind in kinds):
                    for backend in BACKENDS:
                        for how in ("tensors", "image", "encoded"):
                            name = f"{kind}-{backend}-{how}"
                            (root / f"{name}.onnx").write_bytes(network(kind, name))
                            import_package(context, root / f"{name}.onnx")
                            change(context, name, {**said, "serve": how, "backend": backend})
                            load(context, name)
                server = own_server(context)
                assert server is not None
                with Client(server.grpc, protocol="grpc") as client:
                    process = psutil.Process(server.pid)
                    yield client, server.grpc, lambda: time.process_time() + _used(process)
            finally:
                stop(context, 15)


def _used(server: psutil.Process) -> float:
    """Seconds of the processor that a server and its stubs have had."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def spent(client: Client, ensemble: str) -> tuple[int, float, float]:
    """Requests of an ensemble so far, milliseconds of them in the server, and those that its members were computing."""
    whole = members = 0.0
    count = 0
    wanted = {step["model_name"] for step in client.config(ensemble)["ensemble_scheduling"]["step"]}
    for one in client.statistics():
        if one.name == ensemble:
            count, whole = one.success.count, one.success.ns / 1e6
        elif one.name in wanted:
            members += one.compute.ns / 1e6
    return count, whole, members


def measured(
    client: Client, url: str, kind: str, backend: str, size: tuple[int, int], seconds: float, rounds: int,
    busy: Callable[[], float], *, sent: str,
) -> Row:  # fmt: skip
    """One row of the table."""
    jpeg, shared = sent.startswith("JPEG"), "shared" in sent
    picture, front = photograph(size), f"{kind}-{backend}-{'encoded' if jpeg else 'image'}"
    picture = np.array([written(picture)], np.object_) if jpeg else picture
    tensors = [Asker(url, f"{kind}-{backend}-tensors", "x", "FP32", shared=shared) for _ in range(IN_FLIGHT)]
    images = [Asker(url, front, "image", "BYTES" if jpeg else "UINT8", shared=shared) for _ in range(IN_FLIGHT)]
    clients = [PillowClient(asker, SAID[kind]) for asker in tensors]
    tensor, _ = clients[0].prepared(photograph(size))
    ways = [
        Way("client", list(clients), [], [], []),
        Way("server", [lambda one, ask=ask: ask(one[np.newaxis]) for ask in images], [], [], []),
        Way("model", [lambda _, ask=ask: ask(tensor) for ask in tensors], [], [], []),
    ]
    before = spent(client, front)
    for turn in range(rounds + 1):
        for way in ways:
            way.measure(picture, seconds if turn else seconds / 4, busy)
    for asker in (*tensors, *images):
        asker.close()
    after = spent(client, front)
    overhead = ((after[1] - before[1]) - (after[2] - before[2])) / (after[0] - before[0])
    latency = {way.name: statistics.median(way.latencies[1:]) for way in ways}
    processor = {way.name: statistics.median(way.processor[1:]) for way in ways}
    rate = {way.name: statistics.median(way.rates[1:]) for way in ways}
    return Row(kind, size, backend, sent, processor, latency, rate, overhead)


def photograph(size: tuple[int, int]) -> np.ndarray:
    """Something with edges and slopes."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    slopes = np.stack([rows * 255 // size[0], columns * 255 // size[1], (rows ^ columns) & 255], axis=-1)
    return np.ascontiguousarray(slopes.astype(np.uint8))


def written(picture: np.ndarray) -> bytes:
    """As a JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def opened(jpeg: bytes) -> np.ndarray:
    """The pixels."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def main() -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one window")
    parser.add_argument("--rounds", type=int, default=9, help="windows of each way")
    parser.add_argument("--only", choices=SAID, action="append", help="of the networks; writes no results")
    options = parser.parse_args()
    kinds = options.only or list(SAID)
    rows = []
    with served(kinds) as (client, url, busy):
        for kind, backend, size, sent in itertools.product(kinds, BACKENDS, SIZES, SENT):
            seconds, rounds = options.seconds, options.rounds
            rows.append(measured(client, url, kind, backend, size, seconds, rounds, busy, sent=sent))
            print(rows[-1].line, file=sys.stderr)
    lines = [
        "# Pictures in, objects out: on the server, or in the client",
        "",
        f"{machine()}; {options.rounds} windows of {options.seconds} s of each way in turn, medians. One picture a "
        f"request over gRPC; the rates with {IN_FLIGHT} requests in flight. Processor: of client and server together "
        f"for one request, one after the other. {datetime.now(timezone.utc):%d %B %Y}.",
        "",
        *summary(rows),
        "",
        "| Network | Picture | Served by | Sent | Processor: tensor alone | client's way | server's way | "
        "Latency: client's | server's | Rate: client's | server's | Ensemble's own |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(row.line for row in rows),
    ]
    if not options.only:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

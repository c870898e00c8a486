"""What serving costs: our Python-based backends on the embedded Triton against the bare runtimes, on ResNet-50.

    .venv/bin/python benchmarks/serving.py [--seconds 1.5] [--pairs 15] [--peers [--cache DIR]]

Raw and served windows alternate, so a neighbour that takes the machine for a while hits both; each ratio is taken
between a served window and the raw windows before and after it, and the median ratio counts. The model is the light
ResNet-50 of the onnx package, made batchable and given random weights; served answers are compared with raw ones first.

With --peers other servers answer the same client with the same model, too (side_by_side.py): the same Triton with a
model.py by hand, PyTriton, and MLServer, which is installed from PyPI into an environment of its own in the cache.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tritonpm.triton import embedded
from tritonpm.triton.client import Client

SHAPE = (3, 224, 224)
BATCH = 4
IN_FLIGHT = 4  # requests that the throughput client keeps open
PRECISION = "f32"  # of OpenVINO on both sides: its own default is bf16 on CPUs that have it
RESULTS = Path(__file__).parent / "results" / "serving.md"
Window = Callable[[float], float]  # runs for so many seconds, gives inferences per second or milliseconds


@dataclass(frozen=True)
class Row:
    """One comparison: two windows to run in turn, and how good the ratio has to be."""

    name: str
    client: str
    unit: str
    raw: Window
    served: Window
    target: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Throughput, not latency."""
        return self.unit == "infer/s"


@dataclass(frozen=True)
class Result:
    """Medians of both sides and of the ratios, which are served/raw for throughput and raw/served for latency."""

    row: Row
    raw: float
    served: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median ratio; 1 means that the server costs nothing."""
        return statistics.median(self.ratios)


def resnet50() -> Any:
    """The onnx package's light ResNet-50 with a batch axis and random weights of a trained network's size."""
    import onnx
    from onnx import numpy_helper

    path = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    model = onnx.load(path)
    graph, random = model.graph, np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [
        numpy_helper.from_array(_weights(node.output[0], tuple(shapes[node.input[0]]), random), node.output[0])
        for node in graph.node
        if node.op_type == "ConstantOfShape"
    ]
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    initialized = {tensor.name for tensor in (*weights, *constants)}
    inputs = [tensor for tensor in graph.input if tensor.name in used and tensor.name not in initialized]
    outputs = list(graph.output)
    for tensor in (*inputs, *outputs):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    for index, tensor in enumerate(constants):  # the reshape before the last layer says [1, 2048]
        if tensor.data_type == onnx.TensorProto.INT64:
            constants[index] = numpy_helper.from_array(np.array([-1, 2048], dtype=np.int64), tensor.name)
    made = onnx.helper.make_graph(kept, "resnet50", inputs, outputs, [*weights, *constants])
    return onnx.helper.make_model(made, opset_imports=model.opset_import, ir_version=8)


def _weights(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if len(shape) > 1:
        return random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    value = {"riv": 1.0, "s": 0.5}.get(name.split("_")[-2], 0.0)  # variance, and a scale that keeps the sums in range
    return np.full(shape, value, dtype=np.float32)


def repository(root: Path) -> tuple[Path, Path]:
    """Write the models for both backends; the paths of the ONNX and of the IR file."""
    import onnx
    import openvino as ov

    files = root / "resnet50_onnxruntime/1/model.onnx", root / "resnet50_openvino/1/model.xml"
    for path in (*files, root / "resnet50_openvino_throughput/1/model.xml"):
        path.parent.mkdir(parents=True)
    onnx.save(resnet50(), files[0])
    model = ov.Core().read_model(files[0])
    for name in ("resnet50_openvino", "resnet50_openvino_throughput"):
        ov.save_model(model, root / name / "1/model.xml", compress_to_fp16=False)
    for name, backend, parameters in (
        ("resnet50_onnxruntime", "onnxruntime", {}),
        ("resnet50_openvino", "openvino", {"PERFORMANCE_HINT": "LATENCY"}),
        ("resnet50_openvino_throughput", "openvino", {"PERFORMANCE_HINT": "THROUGHPUT"}),
    ):
        if backend == "openvino":
            parameters = {**parameters, "INFERENCE_PRECISION_HINT": PRECISION}
        (root / name / "config.pbtxt").write_text(_config(backend, parameters))
    return files


def _config(backend: str, parameters: dict[str, str]) -> str:
    lines = [
        f'backend: "{backend}"',
        "max_batch_size: 8",
        'input { name: "gpu_0/data_0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }',
        'output { name: "gpu_0/softmax_1" data_type: TYPE_FP32 dims: [ 1000 ] }',
        "instance_group { count: 1 kind: KIND_CPU }",
        *(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()),
    ]
    return "\n".join(lines) + "\n"


class OpenVino:
    """The bare runtime: an AsyncInferQueue for throughput, one infer request for latency."""

    def __init__(self, path: Path) -> None:
        import openvino as ov

        def compiled(hint: str) -> Any:
            return ov.Core().compile_model(
                str(path), "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": PRECISION}
            )

        self.queue = ov.AsyncInferQueue(compiled("THROUGHPUT"))
        self.request = compiled("LATENCY").create_infer_request()

    def answer(self, images: np.ndarray) -> np.ndarray:
        """The output for a batch."""
        return self.request.infer({0: images}, share_inputs=True)[0]

    def throughput(self, images: np.ndarray) -> Window:
        """Inferences a second with all the requests that the queue finds optimal."""

        def run(seconds: float) -> float:
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < seconds:
                self.queue.start_async({0: images}, share_inputs=True)
                count += len(images)
            self.queue.wait_all()
            return count / (time.perf_counter() - started)

        return run

    def latency(self, image: np.ndarray) -> Window:
        """Milliseconds for one image at a time."""
        return _latency(lambda: self.request.infer({0: image}, share_inputs=True, share_outputs=True))


class OnnxRuntime:
    """The bare runtime, with its own defaults."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def answer(self, images: np.ndarray) -> np.ndarray:
        """The output for a batch."""
        return self.session.run(None, {self.input: images})[0]

    def throughput(self, images: np.ndarray) -> Window:
        """Inferences a second, one batch after the other."""

        def run(seconds: float) -> float:
            started, count = time.perf_counter(), 0
            while (passed := time.perf_counter() - started) < seconds:
                self.answer(images)
                count += len(images)
            return count / passed

        return run

    def latency(self, image: np.ndarray) -> Window:
        """Milliseconds for one image at a time."""
        return _latency(lambda: self.answer(image))


def _latency(call: Callable[[], object]) -> Window:
    def run(seconds: float) -> float:
        taken = []
        ends = time.perf_counter() + seconds
        while (started := time.perf_counter()) < ends:
            call()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken) * 1000

    return run


class Served:
    """tritonclient over gRPC, tensors in the messages or in system shared memory."""

    def __init__(self, url: str, model: str, *, shared: bool) -> None:
        import tritonclient.grpc as grpc

        self.grpc, self.model, self.shared = grpc, model, shared
        self.client = grpc.InferenceServerClient(url)
        self.regions: list[Any] = []

    def call(self, images: np.ndarray) -> Callable[[], np.ndarray]:
        """A function that sends these images and gives the answer; not for two threads at once."""
        tensor = self.grpc.InferInput("gpu_0/data_0", list(images.shape), "FP32")
        output = self.grpc.InferRequestedOutput("gpu_0/softmax_1")
        size = 4 * 1000 * len(images)
        if self.shared:
            tensor.set_shared_memory(self._region(images.nbytes, images), images.nbytes)
            region = self._region(size)
            output.set_shared_memory(region, size)
        else:
            tensor.set_data_from_numpy(images)

        def send() -> np.ndarray:
            answer = self.client.infer(self.model, [tensor], outputs=[output])
            if not self.shared:
                return answer.as_numpy("gpu_0/softmax_1")
            from tritonclient.utils import shared_memory

            handle = next(handle for name, handle in self.regions if name == region)
            return shared_memory.get_contents_as_numpy(handle, np.float32, [len(images), 1000])

        return send

    def _region(self, size: int, content: np.ndarray | None = None) -> str:
        from tritonclient.utils import shared_memory

        name = f"tritonpm_bench_{os.getpid()}_{id(self)}_{len(self.regions)}"
        handle = shared_memory.create_shared_memory_region(name, f"/{name}", size)
        self.regions.append((name, handle))
        if content is not None:
            shared_memory.set_shared_memory_region(handle, [content])
        self.client.register_system_shared_memory(name, f"/{name}", size)
        return name

    def throughput(self, images: np.ndarray) -> Window:
        """Inferences a second with `IN_FLIGHT` requests open all the time."""
        calls = [self.call(images) for _ in range(IN_FLIGHT)]

        def worker(call: Callable[[], np.ndarray], ends: float) -> int:
            count = 0
            while time.perf_counter() < ends:
                call()
                count += len(images)
            return count

        def run(seconds: float) -> float:
            started = time.perf_counter()
            with ThreadPoolExecutor(IN_FLIGHT) as pool:
                count = sum(pool.map(worker, calls, [started + seconds] * IN_FLIGHT))
            return count / (time.perf_counter() - started)

        return run

    def latency(self, image: np.ndarray) -> Window:
        """Milliseconds for one image at a time."""
        return _latency(self.call(image))

    def close(self) -> None:
        """Give the shared memory back."""
        from tritonclient.utils import shared_memory

        for name, handle in self.regions:
            self.client.unregister_system_shared_memory(name)
            shared_memory.destroy_shared_memory_region(handle)
        self.client.close()


def measure(row: Row, seconds: float, pairs: int) -> Result:
    """Run raw and served in turn; each ratio is of a served window and the mean of the raw ones around it."""
    row.raw(seconds / 4), row.served(seconds / 4)  # warm both
    raw, served = [row.raw(seconds)], []
    for _ in range(pairs):
        served.append(row.served(seconds))
        raw.append(row.raw(seconds))
    around = [(before + after) / 2 for before, after in itertools.pairwise(raw)]
    ratios = tuple(s / r if row.higher_is_better else r / s for s, r in zip(served, around, strict=True))
    return Result(row, statistics.median(raw), statistics.median(served), ratios)


@contextmanager
def server() -> Iterator[tuple[str, Path, Path]]:
    """The embedded server with every model loaded: its gRPC address, the ONNX file, the IR file."""
    with tempfile.TemporaryDirectory(prefix="tritonpm-benchmark-") as folder:
        root = Path(folder)
        onnx_file, ir_file = repository(root / "repository")
        running = embedded.start(embedded.find(), root / "repository", root / "state")
        try:
            with Client(running.grpc, protocol="grpc") as client:
                for model in sorted(path.name for path in (root / "repository").iterdir()):
                    client.load_and_wait(model)
            yield running.grpc, onnx_file, ir_file
        finally:
            embedded.stop(running, root / "state")


def rows(url: str, onnx_file: Path, ir_file: Path) -> Iterator[Row]:
    """Every comparison, its answers checked."""
    images = np.random.default_rng(1).random((BATCH, *SHAPE), dtype=np.float32)
    openvino, onnxruntime = OpenVino(ir_file), OnnxRuntime(onnx_file)
    for runtime, title, slow, fast, target in (
        (openvino, "openvino", "resnet50_openvino", "resnet50_openvino_throughput", True),
        (onnxruntime, "onnxruntime", "resnet50_onnxruntime", "resnet50_onnxruntime", False),
    ):
        for shared in (True, False):
            how = "gRPC, system shared memory" if shared else "gRPC, tensors in the messages"
            clients = [Served(url, model, shared=shared) for model in (fast, slow)]
            for client in clients:
                np.testing.assert_allclose(client.call(images)(), runtime.answer(images), rtol=1e-3, atol=1e-6)
            yield Row(
                f"{title}, throughput at batch {BATCH}",
                f"{how}, {IN_FLIGHT} requests in flight",
                "infer/s",
                runtime.throughput(images),
                clients[0].throughput(images),
                0.95 if target and shared else None,
            )
            yield Row(
                f"{title}, latency at batch 1",
                f"{how}, one after the other",
                "ms",
                runtime.latency(images[:1]),
                clients[1].latency(images[:1]),
                0.90 if target and shared else None,
            )
            for client in clients:
                client.close()


def report(results: list[Result], seconds: float, pairs: int) -> str:
    """The table in Markdown, with the machine."""
    lines = [
        "# Serving against the bare runtime",
        "",
        f"{machine()}; ResNet-50 in {PRECISION}, {pairs} windows of {seconds:g} s a side in turn, medians.",
        "The ratio is served/raw for throughput and raw/served for latency: 100 % means that the server costs nothing.",
        "",
        "| Backend and measure | Client | Raw | Served | Ratio | Spread | Target |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        row, low, high = result.row, min(result.ratios), max(result.ratios)
        wanted = "" if row.target is None else f"≥ {row.target:.0%} {'met' if result.ratio >= row.target else 'missed'}"
        lines.append(
            f"| {row.name} | {row.client} | {result.raw:.1f} {row.unit} | {result.served:.1f} {row.unit} "
            f"| {result.ratio:.1%} | {low:.1%} – {high:.1%} | {wanted} |"
        )
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The processor and the versions that a result is for."""
    from importlib.metadata import version

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    packages = ", ".join(f"{name} {version(name)}" for name in ("openvino", "onnxruntime", "tritonclient"))
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, Python {platform.python_version()}, "
        f"tritonserver {embedded.find().version}, {packages}"
    )


def main() -> int:
    """Measure, print and write the report; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one window")
    parser.add_argument("--pairs", type=int, default=15, help="windows a side")
    parser.add_argument("--only", default="", help="measure only what has this in its name or client")
    parser.add_argument("--peers", action="store_true", help="measure other servers, too")
    parser.add_argument("--cache", type=Path, help="where environments of peers are kept [default: the user's cache]")
    options = parser.parse_args()
    results = []
    with server() as (url, onnx_file, ir_file):
        for row in rows(url, onnx_file, ir_file):
            if options.only in f"{row.name}, {row.client}":
                results.append(measure(row, options.seconds, options.pairs))
                print(f"{row.name} ({row.client}): {results[-1].ratio:.1%}", file=sys.stderr)
        if options.peers:
            from benchmarks import peers, side_by_side

            beside = side_by_side.report(
                url, onnx_file, ir_file, PRECISION,
                seconds=options.seconds, rounds=options.pairs, cache=options.cache or peers.CACHE,
            )  # fmt: skip
            side_by_side.PEERS.write_text(beside, encoding="utf-8")
            print(beside)
    text = report(results, options.seconds, options.pairs)
    print(text)
    if not options.only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text, encoding="utf-8")
    return int(any(r.row.target is not None and r.ratio < r.row.target for r in results))


if __name__ == "__main__":
    sys.exit(main())

"""What each precision costs and brings: accuracy, size and throughput of the same network, in one run.

    .venv/bin/python benchmarks/precision.py [--seconds 1.0] [--rounds 9]

Two networks: the trained digits example, for real accuracy on images that neither training nor calibration saw; and a
ResNet-50 with random weights, for size and speed at a size that matters. Each is made by `tritonpm convert`'s own code.
The variants take turns, window by window, so that a neighbour on the machine meets all of them; medians count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import machine, resnet50
from examples.make_packages import digits, to_onnx, train_classifier
from tritonpm.core.tensors import save_npz
from tritonpm.operations.optimize.convert_file import convert

RESULTS = Path(__file__).parent / "results" / "precision.md"
Run = Callable[[], Any]


@dataclass(frozen=True)
class Variant:
    """One network in one precision on one runtime."""

    network: str
    name: str
    bytes: int
    infer: Callable[[np.ndarray], np.ndarray]
    batch: np.ndarray
    proof: str
    accuracy: float | None = None


@contextmanager
def quiet(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress that nobody watches."""
    yield lambda done, total: None


def onnxruntime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A model as a function of images."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A model as a function of images."""
    import openvino as ov

    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(str(path), "CPU", config)
    return lambda images: compiled(images)[0]


def size(path: Path) -> int:
    """Of the model with what lies beside it."""
    return sum(each.stat().st_size for each in path.parent.iterdir() if each.stem == path.stem)


def variants(network: str, source: Path, calibration: Path, batch: np.ndarray, folder: Path) -> Iterator[Variant]:
    """FP32 on ONNX Runtime, then FP32, FP16 and INT8 on OpenVINO."""
    yield Variant(network, "ONNX Runtime FP32", size(source), onnxruntime(source), batch, "the original")
    for precision in ("FP32", "FP16", "INT8"):
        told = {"calibration": calibration} if precision == "INT8" else {}
        view = convert(source, "openvino", folder / precision, progress=quiet, precision=precision, **told)
        worst = max((output.scaled for output in view.agreement.outputs), default=float("nan"))
        path = Path(view.model)
        yield Variant(network, f"OpenVINO {precision}", size(path), openvino(path), batch, f"{worst:.1e}")


def trained(folder: Path) -> tuple[list[Variant], np.ndarray, np.ndarray]:
    """The digits network's variants, the test images and what is on them."""
    data = digits()
    (folder / "source").mkdir(parents=True)
    source = folder / "source/model.onnx"
    source.write_bytes(to_onnx(train_classifier(data), "classify", "image", "scores", [10], 1.0))
    save_npz(folder / "calibration.npz", {"image": data.train[:200]})
    found = variants("digits, batch 8", source, folder / "calibration.npz", data.test[:8], folder)
    return list(found), data.test, data.test_digits


def large(folder: Path) -> list[Variant]:
    """ResNet-50's variants."""
    import onnx

    (folder / "source").mkdir(parents=True)
    source, images = folder / "source/model.onnx", np.random.default_rng(0).random((32, 3, 224, 224), dtype=np.float32)
    onnx.save(resnet50(), source)
    save_npz(folder / "calibration.npz", {"gpu_0/data_0": images})
    return list(variants("ResNet-50, batch 4", source, folder / "calibration.npz", images[:4], folder))


def throughput(variant: Variant, seconds: float) -> float:
    """Inferences/s over one window."""
    start, done = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < seconds:
        variant.infer(variant.batch)
        done += len(variant.batch)
    return done / now


def measured(listed: list[Variant], seconds: float, rounds: int) -> dict[str, float]:
    """The median throughput of each variant; they take turns."""
    rates: dict[str, list[float]] = {variant.name: [] for variant in listed}
    for number in range(rounds + 1):
        for variant in listed:
            rate = throughput(variant, seconds)
            if number:  # the first round warms up
                rates[variant.name].append(rate)
    return {name: statistics.median(found) for name, found in rates.items()}


def report(rows: list[str], seconds: float, rounds: int) -> str:
    """The table in Markdown, with the machine."""
    return "\n".join(
        [
            "# Precision: accuracy, size, throughput",
            "",
            f"{machine()}; {rounds} windows of {seconds:g} s a variant in turn, medians.",
            "Accuracy is that on 450 digits which neither training nor calibration saw; off is the largest difference",
            "of the answers relative to the largest value, as the conversion's own proof measured it.",
            "",
            "| Network | Variant | Accuracy | Off | Size | Throughput | against ONNX Runtime |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one window")
    parser.add_argument("--rounds", type=int, default=9, help="windows a variant")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        small, images, numbers = trained(Path(folder) / "digits")
        right = {v.name: float((v.infer(images).argmax(axis=1) == numbers).mean()) for v in small}
        for listed in (small, large(Path(folder) / "resnet")):
            rates = measured(listed, options.seconds, options.rounds)
            for variant in listed:
                accuracy = f"{right[variant.name]:.1%}" if listed is small else ""
                rate = rates[variant.name]
                rows.append(
                    f"| {variant.network} | {variant.name} | {accuracy} | {variant.proof} "
                    f"| {variant.bytes / 1024:,.0f} KiB | {rate:,.0f} infer/s | {rate / rates[listed[0].name]:.2f} × |"
                )
    text = report(rows, options.seconds, options.rounds)
    print(text)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

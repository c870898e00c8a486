"""`tritonpm tune` against NVIDIA Model Analyzer: the same ResNet-50, server, perf_analyzer and machine, in one run.

    .venv/bin/python benchmarks/tune_vs_model_analyzer.py [--p99 100] [--pairs 8] [--runs 2]

Model Analyzer (PyPI's triton-model-analyzer, `quick` search, local launch mode, CPU only) is given the model as
OpenVINO IR in FP32, since it does not choose among backends; tune is given the ONNX file, in a workspace of its own
each time: once at FP32, and once with INT8 allowed within an accuracy bound. Model Analyzer's pins differ from ours, so
it lives in an environment of its own, made once in the user's cache folder. What each found best is measured at the end
in alternation on one server: noise of a shared machine meets both sides of a pair alike.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import machine, resnet50
from tritonpm.core.tensors import save_npz
from tritonpm.meaning.pictures import made_up
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.perf.bench import PrivateBench, private
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.operations.tune.tune import Wish, tune
from tritonpm.perf import tool
from tritonpm.perf.compare import Ratio, comparison, in_alternation
from tritonpm.perf.inputs import Inputs
from tritonpm.perf.measurement import Measurement, Workload
from tritonpm.perf.run import measure
from tritonpm.triton import embedded
from tritonpm.triton.installation import environment, prepare_backends
from tritonpm.tune.pareto import Tuned

RESULTS = Path(__file__).parent / "results" / "tune_vs_model_analyzer.md"
TITLE = "# tune against Model Analyzer\n"
ANALYZER = "triton-model-analyzer==1.58.0"
CLIENT = "tritonclient[all]==2.51.0"  # the newest that Model Analyzer's other pins and a glibc below 2.38 allow
Result = TypeVar("Result", bound="tuple[Found, Any]")
NAME, INPUT, OUTPUT = "resnet50", "gpu_0/data_0", "gpu_0/softmax_1"
ACCURACY = 0.98  # cosine with the original's answers
LONGEST = 1800  # seconds that Model Analyzer may take
BUDGET = 300.0
THIRD, TWICE = 1 / 3, 2.0  # of Model Analyzer's time; times its throughput with INT8
LIMIT = 1.5  # times the lowest p99 that Model Analyzer has seen: the limit of latency, on whatever machine


@dataclass(frozen=True)
class Found:
    """What one search found: seconds, measurements, (throughput in infer/s, p99 in µs, in flight) of each."""

    who: str
    seconds: float
    measured: tuple[tuple[float, float, int], ...]
    count: int
    best: str

    def most(self, limit: float | None = None) -> float:
        """The best throughput, with a p99 of at most `limit` µs."""
        return max((rate for rate, p99, _ in self.measured if limit is None or p99 <= limit), default=0.0)


# Model Analyzer


def analyzer() -> Path:
    """Model Analyzer's program, in an environment of its own that is made where it is not there yet."""
    place = tool.shared() / ANALYZER.replace("==", "-")
    program = place / "bin" / "model-analyzer"
    if not program.exists():
        shutil.rmtree(place, ignore_errors=True)
        installers = [
            [sys.executable, "-m", "venv", str(place)],
            [str(place / "bin/python"), "-m", "pip", "install", "-q"],
        ]
        if uv := shutil.which("uv"):
            python = str(place / "bin/python")
            installers = [
                [uv, "venv", "-q", "-p", sys.executable, str(place)],
                [uv, "pip", "install", "-q", "-p", python],
            ]
        subprocess.run(installers[0], check=True, timeout=120)
        subprocess.run([*installers[1], ANALYZER, CLIENT], check=True, timeout=900)
    return program


def script(path: Path, command: list[str], variables: dict[str, str]) -> Path:
    """A program that runs a command with environment variables of its own."""
    import shlex

    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {shlex.join(command)} "$@"', ""]))
    path.chmod(0o755)
    return path


def model_folder(folder: Path, source: Path) -> None:
    """The model as OpenVINO IR with a config that Model Analyzer can vary: batched by Triton."""
    import openvino as ov

    (folder / "1").mkdir(parents=True)
    ov.save_model(ov.Core().read_model(source), folder / "1/model.xml", compress_to_fp16=False)
    lines = (
        f'name: "{NAME}"', 'backend: "openvino"', "max_batch_size: 8", "dynamic_batching { }",
        f'input {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }}',
        f'output {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ 1000 ] }}',
        "instance_group { count: 1 kind: KIND_CPU }",
    )  # fmt: skip
    (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")


def ports() -> list[int]:
    """Three free ones."""
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def config(root: Path) -> Path:
    """What Model Analyzer is told: everything else is its default."""
    installation, perf = embedded.find(), tool.find()
    variables = {key: environment(installation)[key] for key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    backends = prepare_backends(installation, root / "backends")
    command = [str(installation.binary), f"--backend-directory={backends}", "--allow-gpu-metrics=false"]
    prefix = embedded.region_prefix(root)
    command += [f"--backend-config={name},shm-region-prefix-name={prefix}" for name in ("python", "openvino")]
    http, grpc, metrics = ports()
    addresses = {f"{name}-address": "127.0.0.1" for name in ("http", "grpc", "metrics")}
    said: dict[str, Any] = {
        "model_repository": str(root / "models"), "output_model_repository_path": str(root / "out"),
        "override_output_model_repository": True, "checkpoint_directory": str(root / "checkpoints"),
        "export_path": str(root / "export"), "triton_launch_mode": "local",
        "triton_server_path": str(script(root / "tritonserver", command, variables)),
        "triton_output_path": str(root / "triton.log"),
        "triton_http_endpoint": f"127.0.0.1:{http}", "triton_grpc_endpoint": f"127.0.0.1:{grpc}",
        "triton_metrics_url": f"http://127.0.0.1:{metrics}/metrics",
        "triton_server_flags": {"http-port": http, "grpc-port": grpc, "metrics-port": metrics, **addresses},
        "perf_analyzer_path": str(
            script(root / "perf_analyzer", [str(perf.binary)], {"LD_LIBRARY_PATH": perf.environment["LD_LIBRARY_PATH"]})
        ),
        "client_protocol": "grpc", "run_config_search_mode": "quick", "gpus": [],
        "skip_summary_reports": True, "skip_detailed_reports": True,
        # On a shared machine its search for stable windows does not end; ours takes three windows as they are, too.
        "perf_analyzer_flags": {"stability-percentage": 1000},
        "profile_models": {NAME: {"cpu_only": True, "objectives": ["perf_throughput"]}},
    }  # fmt: skip
    for folder in ("checkpoints", "export"):
        (root / folder).mkdir()
    (root / "config.yaml").write_text(yaml.safe_dump(said))
    return root / "config.yaml"


Rows = list[tuple[str, float, float, int]]  # variant, infer/s, p99 in µs, in flight


def analyzed(root: Path) -> tuple[Found, Rows]:
    """Model Analyzer's search, and each measurement of it with the variant that was measured."""
    program, told = analyzer(), config(root)
    began = time.monotonic()
    with (root / "analyzer.log").open("w") as log:
        process = subprocess.Popen([program, "profile", "-v", "-f", told], cwd=root, stdout=log, stderr=log)
        try:
            process.wait(LONGEST)
        finally:
            end(process)
            embedded.sweep(root)  # the stubs and shared memory of servers that it has killed
    seconds = time.monotonic() - began
    rows = list(measurements(json.loads((root / "checkpoints/0.ckpt").read_text())))
    if not rows:
        raise SystemExit((root / "analyzer.log").read_text()[-4000:])
    variant, in_flight = most(rows)
    text = (root / "out" / variant / "config.pbtxt").read_text()
    counts = ", ".join(line.strip() for line in text.splitlines() if "count:" in line or "max_batch_size" in line)
    words = f"openvino FP32, {counts}, {in_flight} in flight"
    return Found("Model Analyzer, FP32", seconds, tuple(row[1:] for row in rows), len(rows), words), rows


def end(process: subprocess.Popen[bytes]) -> None:
    """End Model Analyzer, where it has not ended, with the server that it has started."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)  # so that it starts no other one meanwhile
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.kill()
        process.wait()


def measurements(checkpoint: dict[str, Any]) -> Iterator[tuple[str, float, float, int]]:
    """(variant, infer/s, p99 in µs, in flight) of each measurement in Model Analyzer's checkpoint."""
    for variants in checkpoint["ResultManager.results"]["_results"].values():
        for variant, (_, runs) in variants.items():
            for command, run in runs.items():
                figures = run["_model_config_measurements"][0]["_non_gpu_data_from_tag"]
                rate, p99 = (figures[tag][1]["_value"] for tag in ("perf_throughput", "perf_latency_p99"))
                yield variant, rate, p99 * 1000, int(command.split("--concurrency-range=")[1].split()[0])


# Ours


def tuned(context: Context, who: str, wish: Wish) -> tuple[Found, Tuned]:
    """Our search, with the conversions that it needs."""
    began = time.monotonic()
    found = tune(context, NAME, wish, budget=BUDGET, tell=lambda candidate, best: say(candidate.words))
    rows = tuple((row.throughput, row.p99, row.in_flight) for row in found.rows)
    best = f"{found.best.words}, {found.best.in_flight} in flight"
    return Found(who, time.monotonic() - began, rows, found.measurements, best), found


def package(folder: Path) -> None:
    """The network, with four images as its sample, which it tells apart: else nothing would be proved."""
    import onnx

    folder.mkdir()
    onnx.save(resnet50(), folder / "model.onnx")
    images = np.stack([made_up(224, 224, seed).transpose(2, 0, 1) / 4 for seed in range(4)]).astype(np.float32)
    save_npz(folder / "images.npz", {INPUT: images})
    stage = "{name: network, model: model.onnx, samples: [{inputs: images.npz}]}"
    (folder / "package.yaml").write_text(f'schema: 1\nname: {NAME}\nversion: "1"\nstages: [{stage}]\n')


@contextmanager
def workspace(root: Path, source: Path) -> Iterator[Context]:
    """A fresh workspace with the package."""
    init(root)
    with open_context(root) as context:
        import_package(context, source)
        yield context


# The best of each, side by side


def most(rows: Rows, limit: float | None = None) -> tuple[str, int]:
    """The variant and the requests in flight of Model Analyzer's best, with a p99 of at most `limit` µs."""
    variant, _, _, in_flight = max((row for row in rows if limit is None or row[2] <= limit), key=lambda row: row[1])
    return variant, in_flight


def duel(context: Context, variants: Path, theirs: tuple[str, int], rival: Tuned, pairs: int) -> Ratio:
    """What a search of ours found against what Model Analyzer found, in alternation on one server."""
    variant, in_flight = theirs
    folder = variants / variant
    record = replace(context.catalogue.get(NAME), settings=rival.settings)
    with private(context) as bench:
        ours = f"{NAME}-ours"
        bench.put(record, ours)
        shutil.copytree(folder, bench.folder / "models" / "theirs")
        text = (bench.folder / "models/theirs/config.pbtxt").read_text()
        (bench.folder / "models/theirs/config.pbtxt").write_text(text.replace(f'name: "{NAME}"', 'name: "theirs"', 1))
        bench.clients["grpc"].load_and_wait("theirs")
        sent = measuring_inputs(context, record, bench.clients["grpc"], ours)
        first, second = (
            Workload(concurrency=in_flight, seconds=1.5),
            Workload(concurrency=rival.best.in_flight, seconds=1.5),
        )
        found = in_alternation(
            lambda: raw(bench, "theirs", sent, first), lambda: bench.measure(record, ours, second), pairs,
            lambda done, total: say(f"pair {done} of {total}"),
        )  # fmt: skip
    return comparison("theirs", "ours", first, found).throughput


def raw(bench: PrivateBench, model: str, sent: Inputs, load: Workload) -> Measurement:
    """One measurement of a model that is no package."""
    return measure(bench.tool, bench.clients["grpc"], model, replace(sent, batching="triton", rows=rows_of(sent)), load)


def rows_of(sent: Inputs) -> Any:
    """Rows without the batch axis, as perf_analyzer wants them where Triton batches."""
    return tuple(
        {name: array[0] if sent.batching == "none" else array for name, array in row.items()} for row in sent.rows
    )


# The report


def report(found: list[Found], ratios: list[tuple[str, Ratio]], limit: float, load: tuple[float, float]) -> str:
    """The tables in Markdown, with the machine."""
    first = found[0]
    lines = [
        f"{machine()}; {ANALYZER}; load average of the machine {load[0]:.1f} before and {load[1]:.1f} after.", "",
        f"| | Time | Measurements | Best throughput | Best with p99 ≤ {limit / 1000:.0f} ms | Best settings |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *(
            f"| {each.who} | {each.seconds:.0f} s ({each.seconds / first.seconds:.0%}) | {each.count} "
            f"| {each.most():.1f} infer/s | {within(each, limit)} | {each.best} |"
            for each in found
        ),
        "", "The best of each again, side by side on one server, in alternation:", "",
        "| tune against Model Analyzer | Model Analyzer | tune | Ratio | 95 % sure between |",
        "| --- | ---: | ---: | ---: | --- |",
        *(
            f"| {who} | {each.a:.1f} infer/s | {each.b:.1f} infer/s | {each.ratio:.2f} × "
            f"| {each.low:.2f} and {each.high:.2f} |"
            for who, each in ratios
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def within(found: Found, limit: float) -> str:
    """The best throughput within a limit, in words."""
    most = found.most(limit)
    return f"{most:.1f} infer/s" if most else "none"


def told(found: Result) -> Result:
    """Say what was found."""
    say(f"{found[0]}")
    return found


def say(sentence: str) -> None:
    """How far it is."""
    print(sentence, file=sys.stderr, flush=True)


def once(options: argparse.Namespace) -> tuple[str, bool]:
    """Search and compare: the report, and whether a target is missed."""
    before = os.getloadavg()[0]
    wishes = (("tune, FP32", Wish(precisions=("FP32",))), ("tune, FP32 and INT8", Wish(min_accuracy=ACCURACY)))
    with tempfile.TemporaryDirectory(prefix="tritonpm-benchmark-") as temporary:
        root = Path(temporary)
        package(root / "package")
        model_folder(root / "models" / NAME, root / "package/model.onnx")
        with ExitStack() as around:
            places = [around.enter_context(workspace(root / str(n), root / "package")) for n in range(len(wishes))]
            searches = [partial(tuned, place, *wish) for place, wish in zip(places, wishes, strict=True)]
            equal = told(searches[0]())  # before and after Model Analyzer: what neighbours do to the time meets both
            theirs, rows = told(analyzed(root))
            free = told(searches[1]())
            limit = options.p99 * 1000 if options.p99 else LIMIT * min(p99 for _, p99, _ in theirs.measured)
            wish = Wish(precisions=("FP32",), max_p99=limit / 1e6)
            prompt = told(tuned(places[0], "tune, FP32, with the limit", wish))
            rivals = ((places[0], equal, None), (places[1], free, None), (places[0], prompt, limit))
            ratios = [
                (found.who, duel(place, root / "out", most(rows, bound), tuned_to, options.pairs))
                for place, (found, tuned_to), bound in rivals
            ]
    ours = [found for found, _ in (equal, free, prompt)]
    text = report([theirs, *ours], ratios, limit, (before, os.getloadavg()[0]))
    print(text)
    (_, same), (_, int8), (_, limited) = ratios
    slow = max(ours[0].seconds, ours[2].seconds) > theirs.seconds * THIRD
    return text, slow or same.high < 1 or limited.high < 1 or int8.ratio < TWICE


def main() -> int:
    """Run it, write every run's report into the page; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--p99", type=float, help="the limit of p99 latency, in milliseconds [default: see LIMIT]")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of the comparison at the end")
    parser.add_argument("--runs", type=int, default=1, help="how often the whole comparison is made")
    options = parser.parse_args()
    runs = [once(options) for _ in range(options.runs)]
    RESULTS.write_text("\n".join([TITLE, *(text for text, _ in runs)]), encoding="utf-8")
    return int(any(missed for _, missed in runs))


if __name__ == "__main__":
    sys.exit(main())

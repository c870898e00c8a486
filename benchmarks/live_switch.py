"""What clients notice of live switches: nothing fails, and how latency looks during and outside of them.

    .venv/bin/python benchmarks/live_switch.py [--rounds 3] [--clients 8]

Closed-loop gRPC clients ask one cascade and one single package without a pause, while these are switched live: mode,
instances, batch size, backend, precision, content, and back. Every answer is checked against what either revision says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import machine
from examples.make_packages import make
from tests.support.threads import working
from tritonpm.core.tensors import load_npz
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import serve
from tritonpm.operations.server import own_server
from tritonpm.operations.set import change_live
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.triton.client import Client

RESULTS = Path(__file__).parent / "results" / "live_switch.md"
QUIET = 2.0  # seconds between two switches


@dataclass
class Seen:
    """Each request's start and latency in seconds, and what failed."""

    requests: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: int = 0


@contextmanager
def clients(url: str, model: str, inputs: dict[str, np.ndarray], classes: np.ndarray, count: int) -> Iterator[Seen]:
    """Closed-loop clients until the block ends."""
    seen, stop = Seen(), threading.Event()

    def work() -> None:
        with Client(url, protocol="grpc") as client:
            while not stop.is_set():
                start = time.perf_counter()
                try:
                    answer = client.infer(model, inputs)["scores"]
                except Exception as error:
                    seen.failures.append(str(error))
                    continue
                seen.requests.append((start, time.perf_counter() - start))
                seen.wrong += not np.array_equal(answer.argmax(axis=1), classes)

    with working([work] * count, stop):
        yield seen


def switches(context: Context, name: str, other: Path) -> list[tuple[str, Callable[[], object]]]:
    """Every kind of live switch, and the way back."""

    def set_(**changes: object) -> Callable[[], object]:
        return lambda: change_live(context, name, changes)

    return [
        ("mode: performance, 2 instances", set_(mode="performance", instances=2)),
        ("batch size 16", set_(max_batch_size=16)),
        ("backend: OpenVINO, FP16", set_(optimizer="openvino", precision="FP16")),
        ("new version", lambda: upgrade(context, name, other)),
        ("precision: FP32", set_(precision="FP32")),
        ("mode: shared", set_(mode="shared", instances=None)),
        ("back to the first revision", lambda: rollback(context, name, 1)),
    ]


def again(package: Path, folder: Path, name: str) -> Path:
    """The same package as another version, so that an upgrade has a new content."""
    import zipfile

    changed = folder / f"{name}-2.zip"
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            new.writestr(member, content.replace(b"version: 1.0.0", b"version: 2.0.0"))
    return changed


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return float(np.percentile(values, share)) * 1e3 if values else float("nan")


def main() -> int:
    """Measure, print and write the report; 1 where a request failed or was answered wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="how often each package goes through every switch")
    parser.add_argument("--clients", type=int, default=8, help="closed-loop clients")
    options = parser.parse_args()
    rows, bad = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make(root / "packages")
        init(root)
        with open_context(root) as context:
            serve(context, detach=True, standard_ports=False)
            try:
                for name in ("digits", "digits-cascade"):
                    rows.append(measured(context, name, root / "packages", options.rounds, options.clients))
                    bad += rows[-1][1]
            finally:
                stop(context, 20)
    text = "\n".join(
        [
            "# Live switches under load",
            "",
            f"{machine()}; {options.clients} closed-loop gRPC clients of 4 images each.",
            "During: requests in flight at any moment of a switch, from beginning to end: rendering, rehearsal and",
            "proof included, on the same cores.",
            "",
            "| Package | Switches | Requests | Failed | Wrong | p50 outside | p99 outside | p50 during | p99 during |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(row for row, _ in rows),
            "",
        ]
    )
    print(text)
    RESULTS.write_text(text, encoding="utf-8")
    return int(bad > 0)


def measured(context: Context, name: str, packages: Path, rounds: int, count: int) -> tuple[str, int]:
    """One package through every switch; its row, and how many requests went wrong."""
    import_package(context, packages / f"{name}.zip")
    load(context, name)
    record = context.catalogue.get(name)
    sample = (record.package.samples or record.package.stages[0].samples)[0]
    inputs = load_npz(context.blobs.path(record.package.file(sample.inputs).digest))
    expected = load_npz(context.blobs.path(record.package.file(str(sample.outputs)).digest))["scores"].argmax(axis=1)
    other = again(packages / f"{name}.zip", packages, name)
    server = own_server(context)
    assert server is not None
    spans: list[tuple[float, float]] = []
    with clients(server.grpc, name, inputs, expected, count) as seen:
        time.sleep(QUIET)
        for _ in range(rounds):
            for what, switch in switches(context, name, other):
                start = time.perf_counter()
                switch()
                spans.append((start, time.perf_counter()))
                print(f"{name}: {what} in {spans[-1][1] - start:.1f} s", file=sys.stderr)
                time.sleep(QUIET)
    unload(context, name, force=True)
    during = [took for start, took in seen.requests if any(a <= start + took and start <= b for a, b in spans)]
    outside = [took for start, took in seen.requests if not any(a <= start + took and start <= b for a, b in spans)]
    for failure in seen.failures[:3]:
        print(f"{name}: {failure}", file=sys.stderr)
    figures = [percentile(took, share) for took in (outside, during) for share in (50, 99)]
    cells = " | ".join(f"{figure:.1f} ms" for figure in figures)
    total = len(seen.requests) + len(seen.failures)
    row = f"| {name} | {len(spans)} | {total:,} | {len(seen.failures)} | {seen.wrong} | {cells} |"
    return row, len(seen.failures) + seen.wrong


if __name__ == "__main__":
    sys.exit(main())

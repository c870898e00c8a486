"""How soon small packages serve: from a cold start and after the server was killed; and what each takes in memory.

    .venv/bin/python benchmarks/starting.py [--cold 200] [--restart 50] [--memory 100]

Packages of one small network are imported and loaded into a workspace of its own, once; each time is that from the
command, or from the kill, until the server calls every one of them ready. Memory is the server's and its stubs', shared
pages shared out, with so many packages more. TRITONPM_BACKENDS=python measures the Python-based backends.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import onnx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.overhead_models import dense
from benchmarks.serving import machine
from tritonpm.core.errors import TritonpmError
from tritonpm.core.units import MIB
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.server import own_server
from tritonpm.operations.unload import unload
from tritonpm.triton.client import Client

RESULTS = Path(__file__).parent / "results" / "starting.md"
RESTARTED = 5.0  # seconds within which a killed server is to serve 50 packages again
LIGHT = 6.0  # MiB that a package may take: a fifth of what the Python-based backends take
_LOOK_EVERY = 0.02


def command(root: Path, *words: str) -> None:
    """One command of tritonpm on the workspace."""
    program = [sys.executable, "-m", "tritonpm.cli.main", *words, "--workspace", str(root)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def serving(root: Path) -> Iterator[None]:
    """The workspace's server, and whoever keeps it alive."""
    command(root, "serve", "--detach")
    try:
        yield
    finally:
        command(root, "stop")


def until_ready(context: Context, count: int, began: float, other_than: int = 0) -> float:
    """Seconds from `began` until a server, another than that process, calls so many packages ready."""
    while True:
        server = own_server(context)
        if server is not None and server.pid != other_than:
            with suppress(TritonpmError), Client(server.grpc, protocol="grpc", timeout=30) as client:
                while sum(model.state == "READY" for model in client.index()) < count:
                    time.sleep(_LOOK_EVERY)
                return time.perf_counter() - began
        time.sleep(_LOOK_EVERY)


def memory(context: Context) -> float:
    """Bytes of the server and its stubs."""
    server = own_server(context)
    assert server is not None
    process = psutil.Process(server.pid)
    return float(sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True))))


def cold(root: Path, context: Context, count: int) -> float:
    """Seconds of a start with so many packages that served before."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "tritonpm.cli.main", "serve", "--detach", "--workspace", str(root)],
                          stdout=subprocess.DEVNULL) as started:  # fmt: skip
        taken = until_ready(context, count, began)
    assert started.returncode == 0
    return taken


def restarted(context: Context, count: int) -> float:
    """Seconds from a kill of the server until all is back."""
    server = own_server(context)
    assert server is not None
    began = time.perf_counter()
    os.kill(server.pid, signal.SIGKILL)
    return until_ready(context, count, began, server.pid)


def measure(root: Path, counts: dict[str, int]) -> dict[str, float]:
    """Seconds and MiB by what they are of."""
    init(root)
    found: dict[str, float] = {}
    names = [f"small-{number}" for number in range(max(counts.values()))]
    with open_context(root) as context:
        onnx.save(dense(64, 32, 10), root / "small.onnx")
        for name in names:
            import_package(context, root / "small.onnx", name=name, again=True)
        with serving(root):
            before, taken = memory(context), []
            for number, name in enumerate(names, 1):
                began = time.perf_counter()
                load(context, name)
                taken.append(time.perf_counter() - began)
                if number == counts["memory"]:
                    found["memory"] = (memory(context) - before) / number / MIB
            found["load"] = statistics.median(taken)
            for name in names[counts["cold"] :]:
                unload(context, name)
        try:
            found["cold"] = cold(root, context, counts["cold"])
            for name in names[counts["restart"] : counts["cold"]]:
                unload(context, name)
            found["restart"] = restarted(context, counts["restart"])
        finally:
            command(root, "stop")
    return found


def report(counts: dict[str, int], found: dict[str, float]) -> str:
    """The table in Markdown."""
    back = f"≤ {RESTARTED:g} s {_met(found['restart'] <= RESTARTED)}" if counts["restart"] == 50 else ""
    small = f"≤ {LIGHT:g} MiB {_met(found['memory'] <= LIGHT)}"
    lines = [
        "# How soon small packages serve", "",
        f"{machine()}; backends: {os.environ.get('TRITONPM_BACKENDS') or 'auto'}.",
        f"Load of the machine over its cores at the end: {os.getloadavg()[0] / len(os.sched_getaffinity(0)):.1f}.", "",
        "| What | Packages | Measured | Target |", "| --- | ---: | ---: | --- |",
        f"| `tritonpm serve` until all are ready | {counts['cold']} | {found['cold']:.1f} s | |",
        f"| `kill -9` of the server until all are back | {counts['restart']} | {found['restart']:.1f} s | {back} |",
        f"| memory of each | {counts['memory']} | {found['memory']:.1f} MiB | {small} |",
        f"| one `load`, with its proof on the server | {max(counts.values())} | {found['load']:.2f} s | |",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _met(reached: bool) -> str:
    return "met" if reached else "not met"


def main() -> int:
    """Measure, print, write the page; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cold", type=int, default=200, help="packages of a cold start")
    parser.add_argument("--restart", type=int, default=50, help="packages of the server that is killed")
    parser.add_argument("--memory", type=int, default=100, help="packages whose memory is measured")
    counts = {name: value for name, value in vars(parser.parse_args()).items() if value > 0}
    if set(counts) != {"cold", "restart", "memory"} or counts["restart"] > counts["cold"]:
        parser.error("each is at least 1, and --restart at most --cold")
    with tempfile.TemporaryDirectory(prefix="tritonpm-starting-") as folder:
        found = measure(Path(folder) / "workspace", counts)
    text = report(counts, found)
    print(text)
    if counts == {"cold": 200, "restart": 50, "memory": 100}:
        RESULTS.write_text(text, encoding="utf-8")
    return int(found["restart"] > RESTARTED or found["memory"] > LIGHT)


if __name__ == "__main__":
    sys.exit(main())

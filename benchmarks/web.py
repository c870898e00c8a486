"""How long the page's list takes on the server with thousands of packages, in one run.

    .venv/bin/python benchmarks/web.py [--packages 2000] [--requests 100]

A real page on loopback; each request is a whole one, over HTTP. The packages are copies of one, since the rows of the
list are what is measured; no two pages of it are asked for in a row.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.models import scaled
from tests.support.packages import cascade
from tritonpm.operations.context import Context, open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.web.running import Page
from tritonpm.web.security import access

RESULTS = Path(__file__).parent / "results" / "web.md"
TARGET = 200.0  # milliseconds, p95, of the list as it opens
OPENS = 50  # rows
HTMX = {"hx-request": "true", "hx-target": "listing"}
ASKED = (
    ("the list, 50 rows", "/packages?page={page}", {}),
    ("50 rows alone, sorted by status", "/packages?sort=-status&page={page}", HTMX),
    ("50 rows alone, searched", "/packages?q=copy-1{page}", HTMX),
    ("the list, 200 rows", "/packages?size=200&page={page}", {}),
    ("the REST API, 50 packages", "/api/v1/packages?page={page}", {}),
)


@dataclass(frozen=True)
class Measured:
    """One kind of request, in milliseconds."""

    what: str
    median: float
    p95: float
    busy: float  # p95 of the processor time of page and client together, which neighbours on the machine do not change
    size: int  # bytes of an answer


def filled(context: Context, folder: Path, count: int) -> None:
    """So many packages of two stages, each written as the catalogue writes it, in one transaction."""
    import_package(context, cascade(folder, scaled(2.0, result="m"), scaled(3.0, source="m"), "copy"))
    catalogue, record = context.catalogue, context.catalogue.get("copy")
    encode = msgspec.json.encode
    with catalogue._database.transaction():
        for number in range(1, count):
            package = replace(record.package, name=f"copy-{number}", digest=f"sha256:{number:064x}")
            catalogue._database.do(
                "INSERT INTO packages (name, digest, package, settings, summary, status, imported) "
                "VALUES (?,?,?,?,?,'imported',0)",
                package.name, package.digest, encode(package), encode(record.settings), encode(record.summary),
            )  # fmt: skip


def measured(client: httpx.Client, requests: int) -> list[Measured]:
    """Every kind of request in turn, so that a neighbour on the machine meets all of them."""
    times: dict[str, list[tuple[float, float]]] = {what: [] for what, _, _ in ASKED}
    sizes: dict[str, int] = {}
    for number in range(requests + 2):
        for what, path, headers in ASKED:
            began = time.perf_counter(), time.process_time()
            answer = client.get(path.format(page=number % 9 + 1), headers=headers)
            took = time.perf_counter() - began[0], time.process_time() - began[1]
            answer.raise_for_status()
            sizes[what] = len(answer.content)
            if number > 1:  # the first of each warm up
                times[what].append(took)
    return [_measured(what, each, sizes[what]) for what, each in times.items()]


def _measured(what: str, times: list[tuple[float, float]], size: int) -> Measured:
    wall, busy = ([seconds * 1000 for seconds in each] for each in zip(*times, strict=True))
    return Measured(what, statistics.median(wall), _p95(wall), _p95(busy), size)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def machine() -> str:
    """The processor and what a result is for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    return f"{len(os.sched_getaffinity(0))} cores of {model}, Python {platform.python_version()}"


def report(found: list[Measured], packages: int, requests: int, load: float) -> str:
    """The results as Markdown; `load` is what others did on the machine, in processes that wanted to run."""
    lines = [
        f"{machine()}; {packages:,} packages of two stages, {requests} requests of each kind in turn,",
        "one after the other, over HTTP on loopback; milliseconds from the request to the whole answer.",
        f"Load average {load:.1f} before it began: what others ran is in the times, and not in those of the processor.",
        "",
        "| Request | Median | p95 | p95 of processor time | Answer | Target |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in found:
        met = (
            f"p95 ≤ {TARGET:.0f} ms {'met' if each.p95 <= TARGET else 'missed'}" if f"{OPENS} rows" in each.what else ""
        )
        times = " | ".join(f"{value:.0f} ms" for value in (each.median, each.p95, each.busy))
        lines.append(f"| {each.what} | {times} | {each.size / 1024:.0f} KiB | {met} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tritonpm web ") as folder:
        root = Path(folder) / "workspace"
        init(root)
        with open_context(root) as context:
            filled(context, Path(folder) / "in", asked.packages)
        page = Page(root, None, "127.0.0.1", 0, access("127.0.0.1"))
        with page.running(), httpx.Client(base_url=page.url, trust_env=False, timeout=60) as client:
            text = report(measured(client, asked.requests), asked.packages, asked.requests, load)
    print(text)
    asked.output.write_text(f"# The page's list\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What tritonpm itself costs: time and memory by the number of packages, of a big import, of a start, of a long run.

    .venv/bin/python benchmarks/manager.py [--sizes 10 100 1000 10000] [--repeat 15] [--only start]

Every step is a process of its own, so its memory is that step's. Processor seconds count beside seconds by the clock:
they say how work grows also where neighbours share the machine. What is compared runs in turn; ratios are medians.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

RESULTS = Path(__file__).parent / "results" / "manager.md"
CLI = (str(Path(sys.executable).with_name("tritonpm")),)
LIST_SECONDS, IMPORT_RATIO, VERSION_RATIO, LIST_RATIO = 1.0, 1.2, 3.0, 6.0  # the targets
BIG = 100 << 20  # bytes of weights of the big model
STEPS = ("import", "render", "list", "plan", "lint")
ROUNDS, VISITS = 6, 200  # of the page, whose memory is read after each round
MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds by the clock, seconds of processor, bytes at most."""

    seconds: float
    processor: float
    memory: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.processor + other.processor, max(self.memory, other.memory))


def run(command: Sequence[str], folder: Path) -> Cost:
    """Run a process to its end. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=said, env=_environment())
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode(errors='replace')}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)


def _environment() -> dict[str, str]:
    """Compiled modules are kept, as an installed package has them: how fast Python compiles is not the question."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[1])}


# Growth: packages by the thousand


def write_model(path: Path, seed: int, batch: int | str = 2, rows: int = 3, columns: int = 4) -> None:
    """x[batch, rows] · w as ONNX, every seed with other weights.

    A fixed batch of 2 needs no proof, which is a process of its own for each content and tells nothing of growth.
    """
    from onnx import TensorProto, helper, save

    weights = np.random.default_rng(seed).normal(0, 0.01, (rows, columns)).astype(np.float32)
    kept = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, columns])],
        [kept],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def worker(step: str, root: Path, first: int, last: int) -> None:
    """Import or render the packages from `first` to before `last`, in this process."""
    from tritonpm.operations.context import open_context
    from tritonpm.operations.import_package import import_package
    from tritonpm.operations.render import render

    with open_context(root / "workspace") as context:
        for number in range(first, last):
            if step == "import":
                import_package(context, root / "sources" / f"{_name(number)}.onnx")
            else:
                render(context, _name(number), root / "rendered")


def _name(number: int) -> str:
    return f"line-{number:05}"


def growth(root: Path, sizes: Sequence[int], repeat: int) -> Iterator[tuple[int, str, Cost]]:
    """(packages, step, what it took) for each size; what was imported for a size is kept for the next."""
    (root / "sources").mkdir()
    run([*CLI, "init", "workspace"], root)
    done, spent = 0, {step: Cost(0, 0, 0) for step in ("import", "render")}
    for size in sizes:
        for number in range(done, size):
            write_model(root / "sources" / f"{_name(number)}.onnx", number)
        for step in spent:
            spent[step] += run([sys.executable, __file__, "--worker", step, str(root), str(done), str(size)], root)
            yield size, step, spent[step]
        done = size
        lines = (f"  {_name(n)}: {{source: sources/{_name(n)}.onnx, loaded: false}}\n" for n in range(size))
        (root / "tritonpm.yaml").write_text("packages:\n" + "".join(lines))
        for step, command, times in (
            ("list", ["-w", "workspace", "list"], repeat),
            ("plan", ["-w", "workspace", "plan"], 1),
            ("lint", ["lint", "rendered"], 1),
        ):
            yield size, step, _median([run([*CLI, *command], root) for _ in range(times)])


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.processor for cost in costs),
        max(cost.memory for cost in costs),
    )


# Ratios: a big import and a start


@dataclass(frozen=True)
class Ratio:
    """Something against its measure, run in turn: medians in ms and of the ratios, by the clock and by processor."""

    name: str
    costs: tuple[Cost, ...]
    bases: tuple[Cost, ...]
    target: float

    @property
    def ratio(self) -> float:
        """By the clock."""
        return statistics.median(c.seconds / b.seconds for c, b in zip(self.costs, self.bases, strict=True))

    @property
    def work(self) -> float:
        """By processor time, which neighbours do not stretch."""
        return statistics.median(c.processor / b.processor for c, b in zip(self.costs, self.bases, strict=True))


def starts(root: Path, repeat: int) -> Iterator[Ratio]:
    """How long commands take to start, against Python itself."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "tritonpm --version": [*CLI, "--version"],
        "tritonpm list": [*CLI, "-w", "workspace", "list"],
    }
    run([*CLI, "init", "workspace"], root)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(repeat + 1):
        for name, command in commands.items():
            costs[name].append(run(command, root))
    base, *others = costs
    for name, target in zip(others, (VERSION_RATIO, LIST_RATIO), strict=True):
        yield Ratio(f"start of `{name}` against `{base}`", tuple(costs[name][1:]), tuple(costs[base][1:]), target)


def big_import(root: Path, repeat: int) -> Ratio:
    """Import of a model whose batch axis was proved before, against copying and hashing it to the disk."""
    from tritonpm.operations.context import open_context
    from tritonpm.operations.import_package import import_package
    from tritonpm.operations.init import init
    from tritonpm.operations.remove import remove

    source = root / "big.onnx"
    write_model(source, 0, "batch", 1024, BIG // 4 // 1024)
    with open_context(init(root / "workspace")[0]) as context:
        import_package(context, source)  # proves the batch axis, once for this content
        costs, bases = [], []
        for _ in range(repeat):
            bases.append(_here(lambda: _copied_and_hashed(source, root / "copy.onnx")))
            remove(context, "big")
            os.sync()  # what was deleted is not written on the account of what follows
            costs.append(_here(lambda: import_package(context, source)))
    return Ratio("import of a known model of 100 MB against copying and hashing it", tuple(costs), tuple(bases),
                 IMPORT_RATIO)  # fmt: skip


def _copied_and_hashed(source: Path, destination: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as read, destination.open("wb") as written:
        while chunk := read.read(MIB):
            written.write(chunk)
            digest.update(chunk)
        written.flush()
        os.fsync(written.fileno())
    destination.unlink()


def _here(work: Callable[[], object]) -> Cost:
    started, used = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - started, time.process_time() - used, 0)


# A long run


def steady(root: Path) -> list[int]:
    """Bytes that the process of `serve --ui` holds: at first, and after each round of visits to its page."""
    import psutil

    run([*CLI, "init", "workspace"], root)
    with _serving(root / "workspace") as (pid, url):
        process, seen = psutil.Process(pid), []
        for _ in range(ROUNDS + 1):
            seen.append(process.memory_full_info().uss)
            for _ in range(VISITS):
                with urllib.request.urlopen(url, timeout=30) as answer:
                    answer.read()
    return seen


@contextmanager
def _serving(workspace: Path) -> Iterator[tuple[int, str]]:
    log = workspace / "said.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [*CLI, "-w", str(workspace), "serve", "--ui"], stdout=said, stderr=said, env=_environment()
        )
    try:
        ends = time.monotonic() + 120
        while "The page is at " not in log.read_text():
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"serve --ui did not start: {log.read_text()}")
            time.sleep(0.1)
        yield process.pid, log.read_text().partition("The page is at ")[2].split()[0]
    finally:
        process.terminate()
        process.wait(60)


# The report


def growth_table(costs: Sequence[tuple[int, str, Cost]], sizes: Sequence[int]) -> Iterator[str]:
    """A row for each step and size; growth is the cost of one more package against the size before."""
    yield "| Step | Packages | Time | Processor | Memory | Processor a package | Growth a tenfold |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for step in STEPS:
        of = {size: cost for size, what, cost in costs if what == step}
        for before, size in zip((None, *sizes), sizes, strict=False):
            cost = of[size]
            grown = f"{cost.processor / of[before].processor:.1f} ×" if before else ""
            yield (
                f"| {step} | {size:,} | {cost.seconds:.2f} s | {cost.processor:.2f} s | {cost.memory / MIB:.0f} MiB "
                f"| {cost.processor / size * 1000:.2f} ms | {grown} |"
            )


def ratio_table(ratios: Sequence[Ratio]) -> Iterator[str]:
    """A row for each ratio, with its target."""
    yield "| What | Time | Measure | Ratio | By processor | Target |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for each in ratios:
        cost, base = (statistics.median(c.seconds for c in side) * 1000 for side in (each.costs, each.bases))
        met = "met" if each.ratio <= each.target else "missed"
        yield (
            f"| {each.name} | {cost:.0f} ms | {base:.0f} ms | {each.ratio:.2f} × | {each.work:.2f} × "
            f"| ≤ {each.target:g} × {met} |"
        )


def steady_line(seen: Sequence[int]) -> str:
    """What a long run holds."""
    after = ", ".join(f"{size / MIB:.1f}" for size in seen[1:])
    return (
        f"`tritonpm serve --ui` holds {seen[0] / MIB:.1f} MiB of its own (USS, without Triton) before the first visit, "
        f"and after each {VISITS} visits of the page: {after} MiB."
    )


def main() -> int:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--repeat", type=int, default=15, help="runs of what is compared")
    parser.add_argument("--only", choices=["growth", "start", "import", "steady"], help="measure only this")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        step, root, first, last = options.worker
        worker(step, Path(root), int(first), int(last))
        return 0
    text = "\n".join(_measured(options)) + "\n"
    print(text)
    if not options.only:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


def _measured(options: argparse.Namespace) -> list[str]:
    from benchmarks.serving import machine

    lines = ["# What tritonpm itself costs", "", f"{machine()}.", ""]

    def wanted(part: str) -> bool:
        return options.only in (None, part)

    # First: a child's memory is told to be at least its parent's, which a big import makes large.
    costs = (
        _in_folder(lambda root: list(_told(growth(root, options.sizes, min(options.repeat, 5)))))
        if wanted("growth")
        else []
    )
    ratios: list[Ratio] = []
    if wanted("start"):
        ratios += _in_folder(lambda root: list(starts(root, options.repeat)))
    if wanted("import"):
        ratios.append(_in_folder(lambda root: big_import(root, options.repeat)))
    if ratios:
        lines += [*ratio_table(ratios), ""]
    if wanted("steady"):
        lines += [steady_line(_in_folder(steady)), ""]
    if costs:
        lines += [
            "The models of this table need no proof of their batch axis, a process of its own for each content.",
            "",
        ]
        lines += list(growth_table(costs, options.sizes))
        last = next(cost for size, step, cost in costs if step == "list" and size == options.sizes[-1])
        met = "met" if last.seconds <= LIST_SECONDS else "missed"
        lines += ["", f"`list` of {options.sizes[-1]:,}: {last.seconds:.2f} s, ≤ {LIST_SECONDS:g} s {met}."]
    return lines


def _told(costs: Iterator[tuple[int, str, Cost]]) -> Iterator[tuple[int, str, Cost]]:
    for size, step, cost in costs:
        print(f"{step} {size}: {cost.seconds:.2f} s, {cost.processor:.2f} s of processor, "
              f"{cost.memory / MIB:.0f} MiB", file=sys.stderr, flush=True)  # fmt: skip
        yield size, step, cost


def _in_folder(measure: Callable[[Path], object]) -> object:
    folder = Path(tempfile.mkdtemp(prefix="tritonpm-benchmark-"))
    try:
        return measure(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

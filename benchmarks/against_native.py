"""Our compiled backends against Triton's own C++ ones: measured where there are such, estimated where there are none.

    .venv/bin/python benchmarks/against_native.py BACKENDS [--seconds 1.5] [--rounds 5] [--only NAME]

BACKENDS is either a folder with genuine native backends (`onnxruntime/libtriton_onnxruntime.so`, …, such as a
container's /opt/tritonserver/backends): then the rates of both are measured in turn in one run, and their ratio is the
answer.

Or it is `tritonpm/backends` of the checkout from before the compiled ones, whose rates against the native ones were
once measured on the same kind of machine (PUBLISHED):

    git worktree add /tmp/before 16a93cc
    .venv/bin/python benchmarks/against_native.py /tmp/before/tritonpm/backends

Then those are measured against the compiled ones, and compiled / native is about compiled / older x older / native.
That is an estimate: two ratios of two runs are multiplied, and the models have the same form but other weights.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.overhead import IN_FLIGHT, Served, loaded
from benchmarks.overhead_models import Case, cases
from benchmarks.serving import machine
from tests.support import perf_analyzer
from tritonpm.triton import embedded
from tritonpm.triton.compiled import NAMES

RESULTS = Path(__file__).parent / "results" / "against_native.md"
# Rates of the Python-based backends of 16a93cc over the native ones' (r24.10, perf_analyzer, gRPC, 2 cores), by case
# and requests in flight.
PUBLISHED = {
    ("digits", 1): 0.38, ("digits", 8): 0.69, ("digits8", 1): 0.31, ("mlp", 1): 0.39, ("mlp", 8): 0.77,
    ("cascade", 1): 0.41, ("strings", 1): 0.26, ("cnn", 1): 0.50, ("cnn", 8): 0.60, ("cnn112", 1): 0.76,
    ("cnn112", 8): 1.03, ("mlp_openvino", 1): 0.47, ("mlp_openvino", 8): 0.56,
}  # fmt: skip
GOAL = 0.9
_ESTIMATED = (
    "Estimated: compiled / older is measured here, older / native was measured once, on another machine of the same "
    "kind and with models of the same form; their product has the errors of both."
)


def genuine(backends: Path) -> bool:
    """Whether these are native backends, and not an older checkout's."""
    return any((backends / name / f"libtriton_{name}.so").is_file() for name in NAMES)


def put(backends: Path, into: Path) -> Path:
    """The backends that a server takes for its own, and so instead of ours: `backends`, and its Python backend."""
    own = embedded.find().backends
    into.mkdir()
    for folder in own.iterdir() if own else ():
        (into / folder.name).symlink_to(folder)
    for name in NAMES:
        if not (backends / name).is_dir():
            continue
        (into / name).unlink(missing_ok=True)
        if genuine(backends):
            (into / name).symlink_to((backends / name).resolve())
            continue
        shutil.copytree(backends / name, into / name)
        for shared in backends.glob("*.py"):
            shutil.copy2(shared, into / name)
    return into


def compare(case: Case, sides: dict[str, Served], in_flight: int, seconds: float, rounds: int) -> list[float]:
    """The ratio of each round: the compiled ones' rate over the other ones', the order changing."""
    ratios = []
    for number in range(rounds):
        order = list(sides) if number % 2 else list(sides)[::-1]
        rates = {side: sides[side].figures(case.name, case.row, case.batch, in_flight, seconds).rate for side in order}
        ratios.append(rates["compiled"] / rates["other"])
    return ratios


def report(rows: list[tuple[Case, int, list[float]]], native: bool, seconds: float, rounds: int) -> str:
    """The table in Markdown."""
    lines = [
        "# The compiled backends against Triton's own",
        "",
        f"{machine()}; {rounds} rounds of {seconds:g} s a side in turn; medians, lowest and highest of the rounds.",
        f"Load of the machine over its cores at the end: {os.getloadavg()[1] / len(os.sched_getaffinity(0)):.1f}.",
        "",
        "Measured against genuine native backends." if native else _ESTIMATED,
        "",
        "| Model | Batch | In flight | compiled / older | older / native | compiled / native | Goal |"
        if not native
        else "| Model | Batch | In flight | compiled / native | Goal |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |" if not native else "| --- | ---: | ---: | ---: | --- |",
    ]
    for case, in_flight, ratios in rows:
        measured = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})"
        cells = [case.title, str(case.batch), str(in_flight), measured]
        known = 1.0 if native else PUBLISHED.get((case.name, in_flight), 0.0)
        result = statistics.median(ratios) * known
        if not native:
            cells += [f"{known:.2f}" if known else "not measured", f"≈ {result:.2f}" if known else ""]
        goal = f"≥ {GOAL:g} {'met' if result >= GOAL else 'not met'}" if known else ""
        lines.append(f"| {' | '.join([*cells, goal])} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backends", type=Path, help="native backends, or `tritonpm/backends` of the older checkout")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one window")
    parser.add_argument("--rounds", type=int, default=5, help="windows a side")
    parser.add_argument("--only", default="", help="measure only models with this in their name")
    options = parser.parse_args()
    if not any((options.backends / name).is_dir() for name in NAMES):
        parser.error(f"there is no onnxruntime and no openvino in {options.backends}")
    perf_analyzer.there()
    native, rows = genuine(options.backends), []
    with tempfile.TemporaryDirectory(prefix="tritonpm-native-") as folder, ExitStack() as stack:
        root = Path(folder)
        chosen = [case for case in cases(root / "repository") if options.only in case.name]
        chosen = [case for case in chosen if native or any((case.name, n) in PUBLISHED for n in IN_FLIGHT)]
        other = replace(embedded.find(), backends=put(options.backends, root / "other"))
        sides = {
            "other": Served(root, "python", stack, other, "other"),
            "compiled": Served(root, "compiled", stack),
        }
        for case, in_flight in loaded(chosen, sides):
            rows.append((case, in_flight, compare(case, sides, in_flight, options.seconds, options.rounds)))
            print(f"{case.title} ({in_flight} in flight): {statistics.median(rows[-1][2]):.2f}", file=sys.stderr)
    text = report(rows, native, options.seconds, options.rounds)
    print(text)
    if not options.only:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

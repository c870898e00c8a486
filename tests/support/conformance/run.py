"""The whole conformance run (see script/conformance): several servers side by side, a log that it goes on from."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
from collections import Counter, defaultdict
from pathlib import Path
from queue import Empty
from typing import Any

from tests.support.conformance import harness, onnx_cases, targets

ROOT = Path(__file__).parents[3]
LOG = ROOT / "build/conformance.jsonl"
PAGE = ROOT / "docs/conformance.md"


def work(names: list[str], verdicts: Any) -> None:
    """One process with one server: its share of the cases."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped and its folder removed
    left = list(names)
    while left:
        with harness.serving() as server:
            while left and harness.alive(server):
                verdicts.put(harness.run(server, left.pop(0)).to_dict())


def go_on(names: list[str], jobs: int, log: Path) -> bool:
    """Run the cases that the log does not have yet; whether all of them were answered."""
    context = multiprocessing.get_context("spawn")
    verdicts: Any = context.Queue()
    workers = [context.Process(target=work, args=(names[job::jobs], verdicts), daemon=True) for job in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        done = _collect(verdicts, workers, len(names), log)
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        for worker in workers:
            worker.join(60)
    return done == len(names)


def _collect(verdicts: Any, workers: list[Any], total: int, log: Path) -> int:
    """Write verdicts to the log as they come; how many came before all workers ended."""
    done = 0
    with log.open("a") as lines:
        while done < total and (any(w.is_alive() for w in workers) or not verdicts.empty()):
            try:
                verdict = verdicts.get(timeout=5)
            except Empty:
                continue
            done += 1
            lines.write(json.dumps(verdict) + "\n")
            lines.flush()
            if verdict["verdict"] == "wrong" or verdict["by"] == "nobody":
                print(f"{verdict['name']}: {verdict['verdict']}: {verdict['reason']}", flush=True)
            elif done % 100 == 0:
                print(f"{done} of {total}", flush=True)
    return done


def read(log: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """The verdicts that a log has of these cases; the newest counts."""
    if not log.exists():
        return {}
    verdicts = {verdict["name"]: verdict for verdict in map(json.loads, log.read_text().splitlines())}
    return {name: verdicts[name] for name in names if name in verdicts}


def summary(verdicts: dict[str, dict[str, str]]) -> str:
    """The line that the run is about."""
    count = Counter(verdict["verdict"] for verdict in verdicts.values())
    return f"{count['passed']} passed, {count['refused']} refused with a reason, {count['wrong']} wrong"


def page(verdicts: dict[str, dict[str, str]], total: int) -> str:
    """docs/conformance.md: the counts, and every refusal with who forces it."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for verdict in verdicts.values():
        if verdict["verdict"] != "passed":
            groups[verdict["by"] or "nobody"].append(verdict)
    titles = {
        "triton": "Forced by Triton",
        "runtime": "Forced by the runtime (onnxruntime alone fails, or answers otherwise than ONNX expects)",
        "nobody": "Forced by nobody: bugs",
    }
    lines = [
        "# Conformance",
        "",
        "ONNX's own backend tests, each imported as a bare `.onnx`, rendered, loaded by the real Triton, inferred over",
        "HTTP and gRPC, and compared with the expected outputs. Written by `script/conformance`; do not edit it by hand.",
        "",
        f"**{summary(verdicts)}** ({len(verdicts)} of {total} cases)",
    ]
    for by, title in titles.items():
        if by in groups:
            lines += ["", f"## {title}: {len(groups[by])}", "", "| Case | Reason |", "| --- | --- |"]
            lines += [f"| {v['name']} | {v['reason'].replace('|', chr(92) + '|')} |" for v in groups[by]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of case names, e.g. light/ node/test_conv (default: all)")
    parser.add_argument("--jobs", type=int, default=3, help="servers side by side (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget the log of an earlier run")
    parser.add_argument(
        "--target", metavar="RELEASE", help="with the runtimes of another Triton release, such as 25.10"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    LOG.parent.mkdir(exist_ok=True)
    if arguments.fresh:
        LOG.unlink(missing_ok=True)
    names = [n for n in onnx_cases.names() if not arguments.only or any(part in n for part in arguments.only)]
    if arguments.target:
        return targets.main(arguments.target, arguments.only)
    known = read(LOG, names)
    complete = go_on([n for n in names if n not in known], arguments.jobs, LOG)
    verdicts = read(LOG, names)
    if not arguments.only:
        PAGE.write_text(targets.written(page(verdicts, len(names)), targets.kept(PAGE)))
    print(summary(verdicts))
    bad = any(v["verdict"] == "wrong" or v["by"] == "nobody" for v in verdicts.values())
    return 0 if complete and not bad else 1


if __name__ == "__main__":
    sys.exit(main())

"""What an optimisation was compared with, what was chosen, and why: kept beside its job, and said in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tritonpm.core.files import write_atomically
from tritonpm.perf.compare import Comparison
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.catalogue.jobs import Job, Jobs

BEFORE = "before"  # what the package had
_ORIGINAL = "none"  # the optimizer of the model as it came
_FILE = "decision.json"  # in the job's folder


@dataclass(frozen=True)
class Decision:
    """The settings that were decided for, and what was measured of the others.

    `chosen` is an optimizer, or BEFORE; `automatic` is whether that was left to us. `comparisons` are of each candidate
    with what there was before, under each load; `loads` says where those came from, `batching` what changes in what
    Triton joins, `uncompared` why nothing was measured.
    """

    settings: Settings
    chosen: str
    automatic: bool = False
    comparisons: tuple[Comparison, ...] = ()
    loads: str = ""
    batching: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)  # candidate → why
    uncompared: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was gained and lost, the most important first."""
        without = tuple(f"{name} was left out: {reason}" for name, reason in self.left_out.items())
        if self.uncompared:
            return (f"not compared with what it had: {self.uncompared}", *without)
        lines = [_words(comparison) for comparison in self.comparisons]
        if self.stays:
            lines.insert(0, "nothing was better than what it had, which stays")
        elif self.automatic:
            lines.insert(0, f"{_named(self.chosen)} is what it gets: it gains, and loses under none of the loads")
        elif self.loses:
            lines.append("it is slower than before: --optimizer auto keeps what is better")
        if self.batching and not self.stays:
            lines.append(self.batching)
        if self.loads:
            lines.append(self.loads)
        return (*lines, *without)

    @property
    def stays(self) -> bool:
        """Whether the package keeps what it had."""
        return self.chosen == BEFORE

    @property
    def loses(self) -> bool:
        """Whether what was chosen is slower than before, beyond doubt, under one of the loads."""
        return any(comparison.throughput.high < 1 for comparison in self.comparisons if comparison.b == self.chosen)


def best(comparisons: Sequence[Comparison]) -> str:
    """The candidate to keep: it gains under one load beyond doubt and loses under none; of several, the fastest.

    BEFORE where there is none, or where the model as it came did better, if not beyond doubt: then it is noise.
    """
    by_name: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_name.setdefault(comparison.b, []).append(comparison)
    gains = {name: math.prod(comparison.throughput.ratio for comparison in own) for name, own in by_name.items()}
    better = [
        name
        for name, own in by_name.items()
        if any(comparison.throughput.low > 1 for comparison in own)
        and all(comparison.throughput.high >= 1 for comparison in own)
    ]
    fastest = max(better, key=gains.__getitem__, default=BEFORE)
    return BEFORE if gains.get(fastest, 0.0) < gains.get(_ORIGINAL, 0.0) else fastest


def batching_words(before: int, after: int) -> str:
    """What changes in what Triton joins; 0 is that it joins no requests."""
    if before > 1 >= after:
        return "Triton no longer combines requests"
    if after > 1 >= before:
        return f"Triton combines up to {after} requests"
    return ""


def keep(jobs: Jobs, job: Job, decision: Decision) -> None:
    """Keep a job's decision. Raises StorageError."""
    write_atomically(jobs.folder(job.id) / _FILE, msgspec.json.encode(decision))


def of_job(jobs: Jobs, number: int) -> Decision | None:
    """A job's decision; None where it made none, or it cannot be read."""
    try:
        return msgspec.json.decode((jobs.folder(number) / _FILE).read_bytes(), type=Decision)
    except (OSError, msgspec.MsgspecError):
        return None


def of_settings(jobs: Jobs, name: str, settings: Settings) -> Decision | None:
    """The newest decision for what a package is set to now; None where there is none."""
    done = (job for job in jobs.all() if job.package == name and job.state == "done")
    decision = next(filter(None, (of_job(jobs, job.id) for job in done)), None)
    return decision if decision and decision.settings == settings else None


def _named(candidate: str) -> str:
    """A candidate, for a person."""
    return {_ORIGINAL: "the model as it came", BEFORE: "the previous version"}.get(candidate, candidate)


def _words(comparison: Comparison) -> str:
    ratio, load = comparison.throughput, comparison.load
    rows = f"{load.batch} row{'s' * (load.batch != 1)}"
    requests = f"{load.concurrency} request{'s' * (load.concurrency != 1)}"
    return (
        f"{_named(comparison.b)} has {ratio.ratio:.2f} × the throughput of {_named(comparison.a)} "
        f"(95 % {ratio.low:.2f} to {ratio.high:.2f}) with {requests} of {rows} in flight"
    )

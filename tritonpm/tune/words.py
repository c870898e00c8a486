"""What a search found, in one line."""

from __future__ import annotations

from tritonpm.tune.pareto import MeasuredSettings, Tuned


def milliseconds(micros: float | None) -> str:
    """Microseconds as milliseconds; "" where they are not known."""
    return "" if micros is None else f"{micros / 1000:.2f}"


def figures(row: MeasuredSettings) -> str:
    """What settings reach."""
    return f"{row.throughput:,.1f} infer/s, p99 {row.p99 / 1000:,.1f} ms with {row.in_flight} in flight"


def recommendation(tuned: Tuned) -> str:
    """The settings to use, what they reach, and how much better that is than now."""
    best, now = tuned.best, tuned.now
    if not best.meets:
        limit = (tuned.max_p99 or 0) * 1000
        return f"{tuned.package}: nothing keeps p99 below {limit:g} ms; closest is {best.words}: {figures(best)}"
    if now is best:
        return f"{tuned.package}: the settings as they are are the best: {figures(best)}"
    sentence = f"{tuned.package}: {best.words}: {figures(best)}"
    return f"{sentence}; {_times(tuned.objective, best, now)} as it is now" if now else sentence


def _times(objective: str, best: MeasuredSettings, now: MeasuredSettings) -> str:
    if objective == "latency":
        return f"p99 {best.p99 / now.p99:.2f} times"
    if objective == "cost":
        return f"cost {best.cost / now.cost:.2f} times"
    return f"{best.throughput / now.throughput:.2f} times"

"""Figures for a person."""

from __future__ import annotations

from tritonpm.core.units import human
from tritonpm.perf.measurement import Quality


def byte_words(count: int | None) -> str:
    """`1.5 MiB`; what is not known is said so."""
    return "not known" if count is None else human(count)


def disk_words(count: int) -> str:
    """Bytes on the disk; of files that are not here nothing is known."""
    return f"{byte_words(count)} on disk" if count else "not known"


def share(value: float) -> str:
    """A share of 1 in percent."""
    return f"{value:.0%}"


def money(value: float | None) -> str:
    """An amount in the currency of the price that was given; "" where none was."""
    return "" if value is None else f"{value:.4g}"


def quality_words(quality: Quality) -> str:
    """`classify: FP16, verified, off by 1.2e-04 of the largest value, same class 100 %`."""
    parts = [quality.precision, quality.state]
    if quality.reason:
        parts.append(quality.reason)
    if quality.scaled is not None:
        parts.append(f"off by {quality.scaled:.1e} of the largest value")
    if quality.top1 is not None:
        parts.append(f"same class {quality.top1:.1%}")
    if quality.boxes is not None:
        parts.append(f"same boxes {quality.boxes:.1%}")
    return f"{quality.stage}: {', '.join(parts)}"

"""The five figures by which inference is judged: throughput, hardware cost, storage, power and quality."""

from __future__ import annotations

from dataclasses import dataclass

from tritonpm.perf.measurement import Measurement, Quality, Result, Storage

NOT_MEASURABLE = "not measurable here"


@dataclass(frozen=True)
class LoadFigures:
    """What changes with batch size, instances and load. Latencies are microseconds, the shares add up to 1."""

    batch: int
    instances: int
    load: str
    throughput: float  # inferences/s
    spread: float  # by how much the slowest window is slower than the fastest: 0.1 is 10 %
    p50: float
    p99: float
    queue: float
    compute: float
    overhead: float
    cost_per_million: float | None  # inferences, in the price's currency; None without a price
    inferences_per_joule: float | None
    memory: int | None  # bytes


@dataclass(frozen=True)
class Figures:
    """The five figures of one result. `power` is by what energy was measured, or why it was not."""

    rows: tuple[LoadFigures, ...]
    price: float | None
    storage: Storage
    power: str
    quality: tuple[Quality, ...]


def figures(result: Result) -> Figures:
    """The five figures of a result."""
    energies = [measurement.energy for measurement in result.measurements]
    sources = sorted({energy.source for energy in energies if energy.source})
    reasons = sorted({energy.reason for energy in energies if energy.reason})
    power = "; ".join(sources) or f"{NOT_MEASURABLE}: {'; '.join(reasons)}"
    rows = tuple(_row(measurement, result.price) for measurement in result.measurements)
    return Figures(rows, result.price, result.storage, power, result.quality)


def cost_per_million(price: float | None, throughput: float) -> float | None:
    """What a million inferences cost on a machine that costs `price` an hour."""
    return None if price is None or throughput <= 0 else price / 3600 / throughput * 1e6


def _row(measurement: Measurement, price: float | None) -> LoadFigures:
    whole = measurement.queue + measurement.compute + measurement.overhead or 1.0
    return LoadFigures(
        measurement.load.batch, measurement.instances, measurement.load.words,
        measurement.throughput, measurement.spread, measurement.latency.p50, measurement.latency.p99,
        measurement.queue / whole, measurement.compute / whole, measurement.overhead / whole,
        cost_per_million(price, measurement.throughput), measurement.energy.inferences_per_joule, measurement.memory,
    )  # fmt: skip

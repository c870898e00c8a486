"""A layer of a model as a runtime ran it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A layer as it ran: `micros` in one inference on average, None where it could not be run here."""

    name: str
    kind: str
    kernel: str = ""
    precision: str = ""
    micros: float | None = None

"""Numbers that are typed: finite, and no smaller or larger than what they are for."""

from __future__ import annotations

import math
from typing import Any

import click


class Amount(click.ParamType[float]):
    """A finite number from `least` to `most`, or, where `least` is None, one above 0."""

    name = "float"

    def __init__(self, least: float | None, most: float = math.inf) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`"1.5"` as 1.5."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or not self._takes(number):
            self.fail(f"{value!r} is not a {self._words()}", param, ctx)
        return number

    def _takes(self, number: float) -> bool:
        return (number > 0 if self.least is None else number >= self.least) and number <= self.most

    def _words(self) -> str:
        least = "above 0" if self.least is None else f"of at least {self.least:g}"
        return f"number {least}" + (f" and at most {self.most:g}" if self.most < math.inf else "")


ABOVE_0 = Amount(None)
WAIT = Amount(0, 604_800)  # seconds that something may take: up to a week
LIMIT = Amount(None, 604_800)
SHARE = Amount(0, 1)

"""Figures as a person reads them: three that count."""

from __future__ import annotations

import pytest

from tritonpm.core.units import GIB, KIB, MIB
from tritonpm.operations.monitor.figures import size


@pytest.mark.parametrize(
    ("count", "said"),
    [(None, "–"), (7, "7 bytes"), (1000 * KIB, "1,000 KiB"), (9.758 * MIB, "9.76 MiB"), (23.54 * GIB, "23.5 GiB")],
)
def test_a_size(count: int | None, said: str) -> None:
    assert size(count) == said

"""Every server changes once, one of them alone first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.core.errors import UsageError
from tritonpm.fleet.waves import size_of, waves

SIZES = st.integers(1, 100).flatmap(lambda number: st.sampled_from([f"{number}", f"{number}%"]))


@given(st.lists(st.integers(), unique=True, max_size=200), SIZES)
def test_every_server_is_in_one_wave(servers: list[int], size: str) -> None:
    planned = waves(servers, size)
    assert [server for wave in planned for server in wave] == servers
    assert all(0 < len(wave) <= size_of(size, len(servers)) for wave in planned)
    assert [len(wave) for wave in planned[:1]] == [1] * bool(servers)


@pytest.mark.parametrize(
    ("size", "servers", "expected"), [("25%", 1000, 250), ("25%", 3, 1), ("1%", 10, 1), ("7", 3, 7)]
)
def test_how_many_at_once(size: str, servers: int, expected: int) -> None:
    assert size_of(size, servers) == expected


@pytest.mark.parametrize("size", ["", "0", "0%", "101%", "-1", "x", "5%%", "5 %", "1.5"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(UsageError, match="is not a size for a wave"):
        waves([1, 2], size)

"""Each role covers itself and those before it."""

from __future__ import annotations

from tritonpm.core.roles import Role


def test_each_role_covers_those_before_it() -> None:
    assert [[one.covers(other) for other in Role] for one in Role] == [
        [True, False, False], [True, True, False], [True, True, True],
    ]  # fmt: skip

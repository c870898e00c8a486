"""Who is signed in, until when, and that the oldest goes where there are too many."""

from __future__ import annotations

from tritonpm.catalogue.audit import OIDC, Actor
from tritonpm.core.roles import Role
from tritonpm.web.sessions import Sessions

ANNA = Actor("anna", Role.VIEW, OIDC, "")


def test_a_session_is_known_until_it_ends() -> None:
    sessions = Sessions(3600)
    held = sessions.begin(ANNA)
    assert sessions.get(held) == ANNA
    assert sessions.get("") is sessions.get(held[:-1]) is None
    sessions.end(held)
    assert sessions.get(held) is None
    sessions.end(held)


def test_a_session_is_over_and_the_oldest_goes() -> None:
    assert (over := Sessions(-1)).get(over.begin(ANNA)) is None
    sessions = Sessions(3600, most=2)
    held = [sessions.begin(ANNA) for _ in range(3)]
    assert [sessions.get(one) is not None for one in held] == [False, True, True]

"""What somebody else did on the server is told and undone."""

from __future__ import annotations

import pytest

from tests.support.load import serving_answer
from tests.support.supervised import kill_stub
from tritonpm.operations.context import Context
from tritonpm.operations.drift import drift
from tritonpm.operations.load import load
from tritonpm.operations.server import connect
from tritonpm.operations.status import status
from tritonpm.operations.sync import sync


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_somebody_else_did_on_the_server_is_told_and_undone(published: Context) -> None:
    load(published, "c")
    with connect(published) as client:
        client.load_and_wait("p")
        assert drift(published, client) == [
            "p is served, and recorded as imported: somebody else loaded it; `tritonpm sync`"
        ]
        client.unload_and_wait("c", dependents=True)
        said = status(published).drift
        assert "c is recorded as loaded, but the server does not serve it; `tritonpm sync`" in said
        assert list(sync(published)) == [("loaded", "c", ""), ("unloaded", "p", "")]
        assert status(published).drift == ()
        assert {state.name for state in client.index() if state.state == "READY"} >= {"c"}
        assert not client.ready("p")


@pytest.mark.server
@pytest.mark.usefixtures("python_backends", "server")
def test_a_package_that_lost_a_process_is_told_and_mended_where_nobody_watches(published: Context) -> None:
    load(published, "p")
    load(published, "c")
    answers = [serving_answer(published, name) for name in ("p", "c")]
    kill_stub(published, "first")
    (sentence,) = status(published).drift
    assert sentence.startswith("c is served, and does not answer as it should: a stub of first.")
    assert list(sync(published)) == [("loaded", "c", "")]
    kill_stub(published, "p")
    load(published, "p")
    assert [serving_answer(published, name) for name in ("p", "c")] == answers
    assert status(published).drift == ()

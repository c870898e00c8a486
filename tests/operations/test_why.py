"""What keeps a model loaded."""

from __future__ import annotations

import pytest

from tritonpm.operations.context import Context
from tritonpm.operations.load import load
from tritonpm.operations.server import connect
from tritonpm.operations.use import use
from tritonpm.operations.why import why


@pytest.mark.server
@pytest.mark.usefixtures("server")
def test_what_keeps_a_model_loaded(published: Context) -> None:
    load(published, "c")
    use(published, "c", "LINE-3", 60)
    assert why(published, "c") == [
        "`tritonpm load` asked for it, and `serve` loads it again", "project LINE-3 uses it",
    ]  # fmt: skip
    revision = published.catalogue.revision("c")
    assert revision is not None
    assert why(published, revision.models[0].name) == ["it is a member of the cascade c"]
    assert why(published, "p") == []
    with connect(published) as client:
        client.load_and_wait("p")
    assert "somebody else loaded it" in why(published, "p")[0]

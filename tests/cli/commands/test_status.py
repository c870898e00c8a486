"""What is said of packages while no server runs: what waits, what no probe proved, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import streams
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, publish
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.set import change


def test_what_waits_and_what_was_not_probed_is_said_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*words: str) -> str:
        return "".join(streams(*words, workspace=tmp_path / "w"))

    init(tmp_path / "w")
    context = opened(tmp_path / "w")
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    publish(context, "p")
    context.catalogue.prove("p", 1, probed=False)
    change(context, "p", {"max_batch_size": 2})
    waits = "brings the change (max_batch_size: 8 → 2)"
    status = said("status")
    assert status.startswith("server  none\nstate   stopped\n")
    assert "version" not in status
    assert waits in status
    assert "start it with `tritonpm serve --detach`" in status
    assert "loaded last, 1 back, not probed" in said("history", "p")
    (revision,) = json.loads(said("history", "p", "-o", "json"))["data"]
    assert (revision["probed"], revision["next"]) == (False, True)
    monkeypatch.setattr("tritonpm.triton.liveness.server_lives", lambda state: True)
    listed = said("list")
    assert "loaded, not probed, changed" in listed
    assert waits in listed
    assert "loaded: not probed" in said("show", "p")

"""Models of a server that somebody else runs: asked, measured, loaded and unloaded without their files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.lint.oracle import a_server
from tests.support.whole_repositories import repository
from tritonpm.cli.app import cli
from tritonpm.core.errors import BusyError, NotFoundError, ServerError
from tritonpm.operations.client import client_code
from tritonpm.operations.context import Context
from tritonpm.operations.in_place import models_of
from tritonpm.operations.infer import infer
from tritonpm.operations.load import load
from tritonpm.operations.perf.measure import Sweep, measure
from tritonpm.operations.status import status
from tritonpm.operations.unload import unload
from tritonpm.perf.measurement import Workload
from tritonpm.triton import embedded
from tritonpm.triton.connection import Connection

pytestmark = pytest.mark.server


@pytest.fixture
def foreign(context: Context, tmp_path: Path) -> Iterator[Context]:
    """A workspace without packages that names a server with a whole repository, of which nothing is loaded."""
    root = repository(tmp_path / "theirs")
    with a_server() as (served, client):
        for folder in root.iterdir():
            shutil.copytree(folder, served / folder.name)
        yield replace(context, server=f"grpc://{client.where}")


def test_what_a_server_has_is_managed_in_place(foreign: Context) -> None:
    url = str(foreign.server)
    assert load(foreign, "kept").probe.startswith("answered a made-up input")
    server = models_of(Connection(url))
    known = {model.name: (model.state, model.members) for model in server.models}
    assert known["kept"] == ("READY", ("prepare", "classify"))
    assert (known["prepare"][0], known["words"]) == ("READY", ("NOT LOADED", ()))
    assert (server.refused, server.version) == ("", "2.51.0")
    answer = infer(foreign, "kept", None, None, protocol="grpc")
    assert [tensor.name for tensor in answer.tensors] == ["SCORES"]
    assert answer.sent == "a made-up input, since its package is not here"
    assert {model.name for model in status(foreign).models if model.state == "READY"} >= {"kept", "prepare"}
    code = client_code(foreign, "kept")
    ran = subprocess.run([sys.executable, "-c", code.code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0 and "SCORES" in ran.stdout, ran.stderr
    with pytest.raises(NotFoundError, match="words is not loaded"):
        client_code(foreign, "words")
    with pytest.raises(BusyError, match="prepare is a part of kept"):
        unload(foreign, "prepare")
    unload(foreign, "prepare", dependents=True)
    assert {model.name for model in models_of(Connection(url)).models if model.state == "READY"} == {"classify"}
    for verb in (load, unload, client_code):
        with pytest.raises(NotFoundError, match="neither the server nor this workspace has 'strange'"):
            verb(foreign, "strange")
    shown = CliRunner().invoke(cli, ["adopt", url])
    assert shown.exit_code == 0 and "its --model-repository" in shown.output and "pipeline" in shown.output


def test_it_is_measured_by_the_real_tool(foreign: Context) -> None:
    load(foreign, "simple")
    result = measure(foreign, "simple", Sweep((Workload(batch=2, seconds=1.0, protocol="grpc"),)))
    assert (result.package, result.revision, result.inputs) == (
        "simple", None, "a made-up input, since its package is not here",
    )  # fmt: skip
    assert result.measurements[0].throughput > 0 and "of whose machine" in result.notes[0]


def test_a_server_that_loads_nothing_on_demand_says_so(context: Context, tmp_path: Path) -> None:
    root = repository(tmp_path / "theirs")
    for folder in root.iterdir():
        if folder.name not in ("prepare", "words"):
            shutil.rmtree(folder)
    server = embedded.start(embedded.find(), root, tmp_path / "state", arguments=["--model-control-mode=none"])
    try:
        url = f"http://{server.http}"
        known = models_of(Connection(url))
        assert {model.name: model.state for model in known.models} == {"prepare": "READY", "words": "READY"}
        assert "explicit model load / unload is not allowed" in known.refused
        with pytest.raises(ServerError, match="not allowed"):
            load(replace(context, server=url), "words")
        assert infer(replace(context, server=url), "words", None, None).tensors
    finally:
        embedded.stop(server, tmp_path / "state")

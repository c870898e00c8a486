"""Contexts and fleets as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import run
from tritonpm.triton import embedded

URLS = ("--url", "http://127.0.0.1:1", "--url", "grpc://127.0.0.1:2")


def test_contexts(workspace: Path) -> None:
    assert run("context", "add", "prod", *URLS, "--label", "zone=e", workspace=workspace) == "prod has 2 servers.\n"
    assert run("context", "add", "prod", "--url", "http://c:8000", workspace=workspace) == "prod has 3 servers.\n"
    run("context", "add", "test", *URLS, workspace=workspace)
    found = json.loads(run("context", "list", "-o", "json", workspace=workspace))["data"]
    assert (found["current"], sorted(found["contexts"])) == ("prod", ["prod", "test"])
    servers = found["contexts"]["prod"]["servers"]
    assert [(each["url"], each["labels"]) for each in servers][1:] == [
        ("grpc://127.0.0.1:2", {"zone": "e"}), ("http://c:8000", {}),
    ]  # fmt: skip
    run("context", "use", "test", workspace=workspace)
    run("context", "remove", "prod", "--url", "http://c:8000", workspace=workspace)
    assert "prod     2" in run("context", "list", workspace=workspace)
    run("context", "remove", "test", workspace=workspace)
    assert "no context is chosen" in run("fleet", "status", workspace=workspace, code=2)
    assert "there is no context 'x'" in run("fleet", "status", "--context", "x", workspace=workspace, code=5)
    assert "is not a protocol" in run("context", "add", "x", "--url", "ftp://a", workspace=workspace, code=6)
    assert "has no server yet" in run("context", "add", "x", workspace=workspace, code=2)


def test_servers_that_do_not_answer_are_told_before_anything_changes(package: Path, workspace: Path) -> None:
    run("import", package, workspace=workspace)
    run("context", "add", "prod", *URLS, "--memory-mb", 300, "--server-timeout", 1, workspace=workspace)
    assert "not live" in run("fleet", "status", workspace=workspace)
    assert "127.0.0.1:1 does not answer" in run("fleet", "load", "bolts", workspace=workspace, code=6)
    assert list((workspace / "model_repository").iterdir()) == []
    assert "no server of prod serves bolts" in run(
        "fleet", "set", "bolts", "--max-batch-size", 2, workspace=workspace, code=5
    )
    plan = json.loads(run("fleet", "place", "--replicas", 2, "-o", "json", workspace=workspace))["data"]
    assert plan["packages"][0]["load"] == ["127.0.0.1:1", "127.0.0.1:2"]
    assert "is not a size for a wave" in run("fleet", "load", "bolts", "--wave", "x", workspace=workspace, code=2)
    said = run("fleet", "place", "--replicas", 3, "--apply", "-o", "json", workspace=workspace, code=7)
    assert "no server has room for bolts" in said


@pytest.mark.server
def test_a_server_of_a_fleet(package: Path, workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("init", other)
    run("import", package, workspace=other)
    repository = other / "model_repository"
    ports = ("--http-port", 0, "--grpc-port", 0, "--metrics-port", 0)
    server = json.loads(
        run("serve", "--detach", "--repository", repository, *ports, "-o", "json", workspace=workspace)
    )["data"]
    run("context", "add", "line", "--url", server["http"], "--memory-mb", 2000, workspace=other)
    assert "bolts serves revision 1 on 1 server: answered 1 sample" in run("fleet", "load", "bolts", workspace=other)
    assert "in use by the servers of line" in run("remove", "bolts", workspace=other, code=4)
    found = embedded.running(workspace / ".tritonpm" / "server")
    assert found is not None
    assert found.arguments == (f"--model-repository={repository}",)
    assert run("sync", "--context", "line", workspace=other) == ""
    assert "Unloaded bolts." in run("fleet", "unload", "bolts", workspace=other)
    run("remove", "bolts", workspace=other)

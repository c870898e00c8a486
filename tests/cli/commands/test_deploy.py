"""`tritonpm deploy` as a user types it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.support.command import run
from tests.support.deployment import one
from tests.support.models import scaled
from tests.support.packages import single
from tests.support.workspaces import opened, publish
from tritonpm.cli.commands.deploy import deploy_command
from tritonpm.deploy import TARGETS, Choices
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init

ROOT = Path(__file__).parents[3]
KUBECTL = """#!/bin/sh
echo "$@" >>{calls}
case "$*" in *--dry-run=server) {dry} ;; esac
echo deployment.apps/triton serverside-applied
"""


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A workspace, in a path with a blank, with the package bolts."""
    root = tmp_path / "a workspace"
    init(root)
    import_package(opened(root), single(tmp_path / "package", scaled(2.0), "bolts"))
    return root


@pytest.fixture
def published(imported: Path) -> Path:
    """That workspace, once bolts was published."""
    publish(opened(imported), "bolts")
    return imported


def kubectl(folder: Path, dry: str = ":") -> Path:
    """A program in the place of kubectl that writes down what it is asked; no cluster is in reach of the tests."""
    (folder / "bin").mkdir()
    program = folder / "bin/kubectl"
    program.write_text(KUBECTL.format(calls=folder / "calls", dry=dry))
    program.chmod(0o755)
    return folder / "bin"


def test_compose_needs_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("deploy", "compose") == (ROOT / "docker-compose.yml").read_text()
    assert "is not a workspace" in run("deploy", "prometheus", code=5)


def test_printed_objects_are_one_stream(published: Path) -> None:
    for target in (name for name, each in TARGETS.items() if each.cluster and name in deploy_command.commands):
        printed = list(yaml.safe_load_all(run("deploy", target, "--package", "bolts", workspace=published)))
        assert all({"kind", "metadata"} <= set(each) for each in printed)
        assert "--load-model=bolts" in str(printed)
    assert yaml.safe_load(run("deploy", "grafana", workspace=published))["uid"] == "tritonpm"


def test_packages_are_those_that_shall_be_loaded_or_the_named(published: Path) -> None:
    assert "bolts" not in run("deploy", "prometheus", workspace=published)
    assert 'model=\\"bolts\\"' in run("deploy", "prometheus", "--package", "bolts", workspace=published)
    opened(published).catalogue.set_status("bolts", "ready", wanted=True)
    assert 'model=\\"bolts\\"' in run("deploy", "prometheus", workspace=published)
    assert "no package 'nuts'" in run("deploy", "grafana", "--package", "nuts", workspace=published, code=5)


def test_a_cluster_is_only_told_of_what_was_published(imported: Path) -> None:
    said = run("deploy", "kubernetes", "--package", "bolts", workspace=imported, code=5)
    assert "was not published yet; publish it with `tritonpm load bolts`" in said


def test_files_are_written_and_what_was_changed_is_not_overwritten(published: Path, tmp_path: Path) -> None:
    def deploy(*more: str, code: int = 0) -> str:
        return run(
            "deploy", "kubernetes", "--gpus", "0", "--output", tmp_path / "out", *more, workspace=published, code=code
        )

    assert f"Wrote {tmp_path}/out/triton.yaml." in deploy()
    deploy()
    made = tmp_path / "out/kustomization.yaml"
    wanted = made.read_text()
    made.write_text("mine")
    assert "with other content; choose another --output, or use --force" in deploy(code=3)
    assert made.read_text() == "mine"
    deploy("--force")
    assert made.read_text() == wanted
    assert not list((tmp_path / "out").glob(".*"))


def test_choices_reach_the_files(published: Path, tmp_path: Path) -> None:
    options = "--namespace line-3 --triton-version 26.10 --replicas 2 --max-replicas 4 --memory 16Gi"
    run("deploy", "kubernetes", *options.split(), "--output", tmp_path / "out", workspace=published)
    chosen = Choices(namespace="line-3", triton_version="26.10", replicas=2, max_replicas=4, memory="16Gi")
    written = list(yaml.safe_load_all((tmp_path / "out/triton.yaml").read_text()))
    assert written[0] == one("Deployment", "kubernetes", chosen, "triton")
    assert "--triton-version" in run("deploy", "compose", "--triton-version", "25.01", workspace=published, code=2)


def test_apply_asks_the_cluster_first(published: Path, tmp_path: Path) -> None:
    path = kubectl(tmp_path)
    said = run(
        "deploy", "kserve", "--apply", "--context", "line", workspace=published, PATH=f"{path}:{os.environ['PATH']}"
    )
    assert said == "deployment.apps/triton serverside-applied\n"
    dry, real = (tmp_path / "calls").read_text().splitlines()
    assert dry == f"{real} --dry-run=server"
    assert real.startswith("--context line apply --server-side -k ")


def test_nothing_is_applied_that_the_cluster_refuses(published: Path, tmp_path: Path) -> None:
    path = kubectl(tmp_path, 'echo "error: no matches for kind \\"ServiceMonitor\\"" >&2; exit 1')
    said = run("deploy", "kubernetes", "--apply", workspace=published, code=8, PATH=f"{path}:{os.environ['PATH']}")
    assert 'the cluster took none of it: error: no matches for kind "ServiceMonitor"' in said
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_without_kubectl_one_sentence_says_so(published: Path, tmp_path: Path) -> None:
    said = run("deploy", "kubernetes", "--apply", workspace=published, code=7, PATH=str(tmp_path))
    assert "kubectl is not on PATH; install it" in said

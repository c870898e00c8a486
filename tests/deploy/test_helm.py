"""The chart, by Helm itself: the objects are those of the kustomization, and a value changes what it is named for."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import run
from tests.support.deployment import CHOICES, KUBERNETES, SCALED, objects
from tritonpm.deploy import Choices, bundle

HELM = Path(sysconfig.get_path("scripts")) / "helm"


def helm(*words: object) -> str:
    ended = subprocess.run([HELM, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def chart(folder: Path, choices: Choices) -> Path:
    for file in bundle("helm", choices):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_text(file.text)
    return folder


def installed(folder: Path, *words: str) -> dict[tuple[str, str], Any]:
    text = helm("template", "line-3", folder, *words)
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text) if one}


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_a_chart_installs_what_the_kustomization_does(choices: Choices, tmp_path: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", chart(tmp_path, choices))
    wanted = {(one["kind"], one["metadata"]["name"]): one for one in objects("kubernetes", choices)}
    for one in wanted.values():
        del one["metadata"]["namespace"]
    assert installed(tmp_path) == wanted


def test_a_value_changes_what_it_is_named_for(tmp_path: Path) -> None:
    values = "replicas=3,image=registry.site/triton:26.08,gpus=4,memory=16Gi,managerImage=registry.site/m:2,storage=1Ti"
    made = installed(chart(tmp_path / "one", KUBERNETES), "--set", values)
    triton = made["Deployment", "triton"]["spec"]
    (container,) = triton["template"]["spec"]["containers"]
    assert (triton["replicas"], container["image"]) == (3, "registry.site/triton:26.08")
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": 4}
    manager = made["Deployment", "tritonpm"]["spec"]["template"]["spec"]
    assert {one["image"] for one in (*manager["containers"], *manager["initContainers"])} == {"registry.site/m:2"}
    storage = made["PersistentVolumeClaim", "tritonpm-workspace"]["spec"]["resources"]
    assert storage == {"requests": {"storage": "1Ti"}}
    scaler = installed(chart(tmp_path / "two", SCALED), "--set", "replicas=3,maxReplicas=9")
    spec = scaler["HorizontalPodAutoscaler", "triton"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 9)


def test_a_chart_is_written_and_not_applied() -> None:
    assert "helm install" in run("deploy", "kubernetes", "--form", "helm", "--apply", code=2)

"""Which files each kind of deployment is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.deploy import arguments, metrics
from tritonpm.deploy.files import BundleFile, render
from tritonpm.deploy.helm import chart

if TYPE_CHECKING:
    from tritonpm.deploy.choices import Choices

COMPOSE = "docker-compose.yml"
DOCKERFILE = "triton.Dockerfile"  # of Triton's image with what packages need beside it
RULES, DASHBOARD = "prometheus-rules.yml", "grafana-dashboard.json"
WORKSPACE = "/workspace"  # where the workspace's volume is in every container
REPOSITORY = f"{WORKSPACE}/model_repository"
KSERVE_MODELS = "/mnt/models"  # where KServe brings what storageUri names

_COMPOSED = (
    ("compose/prometheus.yml", "deploy/prometheus/prometheus.yml"),
    (RULES, "deploy/prometheus/rules/tritonpm.yml"),
    ("compose/datasource.yml", "deploy/grafana/provisioning/datasources/tritonpm.yml"),
    ("compose/dashboards.yml", "deploy/grafana/provisioning/dashboards/tritonpm.yml"),
    (DASHBOARD, "deploy/grafana/dashboards/tritonpm.json"),
)
_MONITORING = "kubernetes/monitoring.yaml"


@dataclass(frozen=True)
class DeploymentKind:
    """One kind of deployment: what makes its files, and whether they are a cluster's objects."""

    files: Callable[[Choices, Path | None], list[BundleFile]]
    cluster: bool = False


def bundle(target: str, choices: Choices, own: Path | None = None) -> list[BundleFile]:
    """A deployment's files; templates in the folder `own` win over ours. Raises RenderError."""
    kind = TARGETS[target]
    made = kind.files(choices, own)
    if choices.decoding and (kind.cluster or target == "compose"):
        made.append(render(DOCKERFILE, DOCKERFILE, _values(choices), own))
    return made


def _values(choices: Choices, repository: str = REPOSITORY) -> dict[str, object]:
    release = choices.release
    return {
        "choices": choices,
        "metrics": metrics,
        "workspace": WORKSPACE,
        "grace": arguments.GRACE,
        "drain": arguments.DRAIN,
        "command": arguments.tritonserver(repository, release, gpu=choices.gpus > 0, models=choices.packages),
        "command_cpu": arguments.tritonserver(repository, release, gpu=False),
        "command_gpu": arguments.tritonserver(repository, release, gpu=True),
        "manager": arguments.manager(),
        "triton": arguments.TRITON,
        "page_port": arguments.PAGE_PORT,
        "token": arguments.TOKEN,
        "keeper": arguments.KEEPER,
        "dockerfile": DOCKERFILE,
    }


def _prometheus(choices: Choices, own: Path | None) -> list[BundleFile]:
    return [render(RULES, RULES, _values(choices), own)]


def _grafana(choices: Choices, own: Path | None) -> list[BundleFile]:
    return [render(DASHBOARD, DASHBOARD, _values(choices), own)]


def _compose(choices: Choices, own: Path | None) -> list[BundleFile]:
    values = _values(choices)
    files = [("compose/docker-compose.yml", COMPOSE), *_COMPOSED]
    return [render(template, path, values, own) for template, path in files]


def _kubernetes(choices: Choices, own: Path | None) -> list[BundleFile]:
    values, made = _values(choices, choices.repository or REPOSITORY), _cluster(choices, own)
    return [*made, *_kustomized(made, own), *_adapter(choices, values, own)]


def _helm(choices: Choices, own: Path | None) -> list[BundleFile]:
    values = _values(choices, choices.repository or REPOSITORY)
    return [*chart(_cluster(choices, own), choices), *_adapter(choices, values, own)]


def _cluster(choices: Choices, own: Path | None) -> list[BundleFile]:
    """The objects that a kustomization and a chart are made of."""
    values = _values(choices, choices.repository or REPOSITORY)
    names = ["triton.yaml", "networkpolicy.yaml"]
    names += [] if choices.repository else ["workspace.yaml", "manager.yaml"]
    names += ["autoscaling.yaml"] if choices.scaled else []
    made = [render(f"kubernetes/{name}", name, values, own) for name in names]
    return [*made, render(_MONITORING, "monitoring.yaml", values | _monitored(choices, own), own)]


def _adapter(choices: Choices, values: dict[str, object], own: Path | None) -> list[BundleFile]:
    """The values of the Prometheus adapter's chart, which the autoscaler needs; no object of the cluster."""
    if not choices.scaled:
        return []
    name = "prometheus-adapter.values.yaml"
    return [render(f"kubernetes/{name}", name, values, own)]


def _kserve(choices: Choices, own: Path | None) -> list[BundleFile]:
    values = _values(choices, KSERVE_MODELS)
    made = [render(f"kserve/{name}", name, values, own) for name in ("runtime.yaml", "service.yaml")]
    return [*made, *_kustomized(made, own)]


def _monitored(choices: Choices, own: Path | None) -> dict[str, object]:
    return {"rules": _prometheus(choices, own)[0].objects[0], "dashboard": _grafana(choices, own)[0].text}


def _kustomized(made: list[BundleFile], own: Path | None) -> list[BundleFile]:
    names = [file.path for file in made]
    return [render("kubernetes/kustomization.yaml", "kustomization.yaml", {"files": names}, own)]


TARGETS = {
    "compose": DeploymentKind(_compose),
    "prometheus": DeploymentKind(_prometheus),
    "grafana": DeploymentKind(_grafana),
    "kubernetes": DeploymentKind(_kubernetes, cluster=True),
    "helm": DeploymentKind(_helm, cluster=True),
    "kserve": DeploymentKind(_kserve, cluster=True),
}

"""Commands that make what runs the packages elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tritonpm.cli.app import App, F, Group, command, pass_app
from tritonpm.cli.output import echo
from tritonpm.deploy.choices import Choices


def _chosen(name: str, help: str, **more: Any) -> Callable[[F], F]:
    """An option that sets the field of Choices of its name; the default is the field's."""
    default = getattr(Choices, name)
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, name, default=default, show_default=bool(default), help=help, **more)


def _all(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


FILES = _all(
    click.option(
        "--package",
        "packages",
        multiple=True,
        metavar="NAME",
        help="A package to deploy (repeatable) [default: all that are to be loaded].",
    ),
    click.option(
        "--output", type=click.Path(path_type=Path, file_okay=False), help="Write the files into this folder."
    ),
    click.option("--force", is_flag=True, help="Overwrite files that differ."),
)
IMAGES = _all(
    _chosen("triton_version", "The release of NVIDIA's container."),
    _chosen("triton_image", "The full name of another Triton image, ideally with its @sha256: digest."),
    _chosen("manager_image", "The manager's image, which the Dockerfile builds."),
)
THRESHOLDS = _all(
    _chosen("queue_ms", "Alert when requests wait in the queue for longer than this."),
    _chosen("latency_ms", "Alert when one in a hundred requests takes longer than this."),
    _chosen("failing", "Alert when more than this share of requests fails."),
)
CLUSTER = _all(
    _chosen("namespace", "The namespace, which must exist."),
    _chosen("repository", "An s3:// URL of the repository, instead of the workspace's volume.", metavar="URL"),
    _chosen("gpus", "GPUs per replica; 0 makes a server for CPUs."),
    _chosen("replicas", "The least number of servers."),
    _chosen("max_replicas", "The largest number of servers, which adds an autoscaler [default: none]."),
    _chosen("cpu", "Cores per replica."),
    _chosen("memory", "Memory per replica."),
    click.option("--apply", "applied", is_flag=True, help="Apply it to the cluster with kubectl, after a dry run."),
    click.option("--context", default="", help="The kubectl context [default: the current one]."),
)


@click.group(
    "deploy",
    cls=Group,
    examples="""
    tritonpm deploy compose --output .
    tritonpm deploy kubernetes --replicas 2 --max-replicas 6 --output cluster
    """,
)
def deploy_command() -> None:
    """Generate the files to run the packages elsewhere: Compose, Kubernetes, KServe, Prometheus, Grafana."""


@command("compose", examples="tritonpm deploy compose\ntritonpm deploy compose --triton-version 26.10 --output .")
@FILES
@IMAGES
@THRESHOLDS
@pass_app
def compose_command(app: App, /, **options: Any) -> None:
    """Triton, the manager with its page, Prometheus and Grafana on one machine, by Docker Compose."""
    _deploy(app, "compose", **options)


@command("prometheus", examples="tritonpm deploy prometheus > rules.yml\ntritonpm deploy prometheus --queue-ms 20")
@FILES
@THRESHOLDS
@pass_app
def prometheus_command(app: App, /, **options: Any) -> None:
    """Alerting rules for queue time, failures, latency, GPU memory, and packages that no server has loaded."""
    _deploy(app, "prometheus", **options)


@command("grafana", examples="tritonpm deploy grafana > dashboard.json")
@FILES
@pass_app
def grafana_command(app: App, /, **options: Any) -> None:
    """A dashboard for the packages."""
    _deploy(app, "grafana", **options)


@command(
    "kubernetes",
    examples="""
    tritonpm deploy kubernetes --gpus 1 --output cluster
    tritonpm deploy kubernetes --replicas 2 --max-replicas 6 --repository s3://models/line-3 --output cluster
    tritonpm deploy kubernetes --apply --context production
    tritonpm deploy kubernetes --form helm --output chart && helm install line-3 chart
    """,
)
@FILES
@IMAGES
@CLUSTER
@_chosen("storage", "The size of the workspace's volume.")
@_chosen("storage_class", "The storage class of the workspace's volume; it must support ReadWriteMany.")
@THRESHOLDS
@click.option(
    "--form",
    type=click.Choice(["kustomize", "helm"]),
    default="kustomize",
    show_default=True,
    help="A kustomization, or a Helm chart of the same objects.",
)
@pass_app
def kubernetes_command(app: App, /, form: str, **options: Any) -> None:
    """A kustomization, or a Helm chart: Triton, the manager, autoscaler, monitoring and network policies."""
    if form == "helm" and (options["applied"] or not options["output"]):
        raise click.UsageError("a Helm chart is written with --output, and installed with `helm install`")
    _deploy(app, "helm" if form == "helm" else "kubernetes", **options)


@command(
    "kserve",
    examples="""
    tritonpm deploy kserve --repository s3://models/line-3 --output cluster
    tritonpm deploy kserve --package bolts --storage-uri oci+native://registry.site/serving/bolts:1.2
    """,
)
@FILES
@_chosen(
    "storage_uri", "Where KServe finds one package, such as an image made with `push --form image`.", metavar="URI"
)
@_chosen("triton_version", "The release of NVIDIA's container.")
@_chosen("triton_image", "The full name of another Triton image, ideally with its @sha256: digest.")
@CLUSTER
@pass_app
def kserve_command(app: App, /, **options: Any) -> None:
    """A ServingRuntime and an InferenceService for KServe: for the whole repository, or for one package."""
    _deploy(app, "kserve", **options)


for _each in (compose_command, prometheus_command, grafana_command, kubernetes_command, kserve_command):
    deploy_command.add_command(_each)


def _deploy(
    app: App, target: str, output: Path | None, force: bool, applied: bool = False, context: str = "", **chosen: Any
) -> None:
    from tritonpm.operations import deploy as deploying

    made = deploying.deployment(app.workspace, target, output=output, **chosen)
    for place in deploying.write(made, output, force=force) if output else ():
        app.say(f"Wrote {place}.")
    for line in deploying.apply(made, context) if applied else ():
        app.say(line)
    if not output and not applied:
        echo(made.text, nl=False)
    for sentence in made.advice:
        app.advise(f"{sentence}.")

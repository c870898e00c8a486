"""Files that run a workspace's packages elsewhere: compose, Kubernetes, KServe, Prometheus, Grafana. Pure."""

from tritonpm.deploy.bundle import DOCKERFILE, TARGETS, DeploymentKind, bundle
from tritonpm.deploy.choices import Choices

__all__ = ["DOCKERFILE", "TARGETS", "Choices", "DeploymentKind", "bundle"]

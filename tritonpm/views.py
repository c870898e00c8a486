"""What the manager's use cases return: frozen results, printed by the CLI and the page; their keys are the JSON's.

The keys are documented in docs/json.md and stay stable within an API version.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tritonpm.data import Settings, Tensor


@dataclass(frozen=True)
class PackageView:
    """A package in a list. `type` is single or cascade; `revision` is None until something was published."""

    name: str
    type: str
    stages: tuple[str, ...]
    mode: str
    device: str
    max_batch_size: int
    precision: str
    status: str
    used_by: tuple[str, ...]
    revision: int | None
    digest: str
    reason: str = ""


@dataclass(frozen=True)
class StageView:
    """One stage: its tensors and what is known of its batch axis."""

    name: str
    task: str
    format: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch_axis: str
    batch_reason: str
    labels: int


@dataclass(frozen=True)
class PackageDetails(PackageView):
    """All that `show` knows. `pending`: the settings have changed since the published revision."""

    version: str = ""
    exporter: str = ""
    instances: int = 1
    pending: bool = False
    stages_in_detail: tuple[StageView, ...] = ()
    settings: Settings = field(default_factory=Settings)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What a file holds."""

    name: str
    type: str
    version: str
    digest: str
    stages: tuple[StageView, ...]


@dataclass(frozen=True)
class Rendering:
    """What was written where."""

    name: str
    revision: str
    models: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ServerView:
    """A running server's addresses (host:port) and log file."""

    version: str
    pid: int
    http: str
    grpc: str
    metrics: str
    log: str


@dataclass(frozen=True)
class Loaded:
    """A package that was loaded, and what its probe proved."""

    name: str
    revision: int
    probe: str


@dataclass(frozen=True)
class ModelView:
    """A model on the server beside the package it belongs to ("" where it is foreign)."""

    name: str
    version: str
    state: str
    reason: str
    package: str
    status: str
    inferences: int
    failures: int


@dataclass(frozen=True)
class StatusView:
    """The server's side and the workspace's, together. `state` is live, not live or stopped."""

    server: str
    state: str
    version: str
    models: tuple[ModelView, ...]


@dataclass(frozen=True)
class TensorView:
    """One tensor of an answer; `values` are the first few, for a person."""

    name: str
    dtype: str
    shape: str
    values: str


@dataclass(frozen=True)
class Answer:
    """An inference's outputs."""

    tensors: tuple[TensorView, ...]


@dataclass(frozen=True)
class Check:
    """One of doctor's checks: what was found, or how to get it."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True

"""`tritonpm status`: how the models on a server stand, the server's side and the workspace's, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tritonpm.operations.artefacts import made
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.drift import drift, pending
from tritonpm.operations.list import NOT_PROBED
from tritonpm.operations.list import status as package_status
from tritonpm.operations.server import connect, has_server, own_server
from tritonpm.settings.advice import batch_advice
from tritonpm.settings.effect_rules import UNJOINED
from tritonpm.triton import embedded
from tritonpm.triton.stubs import instances

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client
    from tritonpm.triton.statistics import Statistics

RETURNS = "the server has ended, and is being started again"


@dataclass(frozen=True)
class ModelView:
    """A model on the server beside the packages it belongs to ("" where it is foreign)."""

    name: str
    version: str
    state: str
    reason: str
    package: str
    status: str
    inferences: int
    failures: int
    instances: int | None = None  # on all devices; None for an ensemble and for what is not loaded
    queue_us: float | None = None  # the average wait of a request since it was loaded, in µs
    last_inference: str = ""  # ISO 8601, "" for never


@dataclass(frozen=True)
class StatusView:
    """The server's side and the workspace's, together. `state` is live, not live or stopped."""

    server: str
    state: str
    version: str
    models: tuple[ModelView, ...]
    advice: tuple[str, ...] = ()  # on settings, from what ran
    drift: tuple[str, ...] = ()  # where the server serves something else than the catalogue says
    backends: Mapping[str, str] = field(default_factory=dict)  # of the workspace's own: native, compiled or python
    restarts: embedded.Restarts | None = None  # of the workspace's own, after it had ended; None for none


def status(context: Context) -> StatusView:
    """The server's side and the workspace's."""
    if not has_server(context):
        return StatusView("none", "stopped", "", (), drift=(*_supervision(context), *pending(context)))
    with connect(context) as client:
        if not client.live():
            return StatusView(client.where, "not live", "", (), drift=tuple(pending(context)))
        models = tuple(_models(context, client))
        apart = (*_supervision(context), *drift(context, client))
        advice, ours = tuple(_advice(context, client)), own_server(context)
        kinds = embedded.backends_in(context.workspace.server) if ours else {}
        again = embedded.restarts(context.workspace.server) if ours else None
        return StatusView(client.where, "live", client.server_version(), models, advice, apart, kinds, again)


def _supervision(context: Context) -> Iterator[str]:
    """Whether somebody keeps the workspace's own server alive, where that is not as it was said to be."""
    state = context.workspace.server
    if context.server is None and embedded.supervision_lost(state):
        yield "the server would not be restarted if it ended, since its supervisor was killed; `tritonpm sync`"
    elif not has_server(context) and embedded.supervised(state):
        yield RETURNS


def _models(context: Context, client: Client) -> Iterator[ModelView]:
    """Every model and version that the server knows, with what it did and which packages it is of."""
    owners = _owners(context)
    known = {entry.name: package_status(entry, None, alive=True) for entry in context.catalogue.packages()}
    counted = {(statistics.name, statistics.version): statistics for statistics in client.statistics()}
    for state in client.index():
        of, count = owners.get(state.name, []), counted.get((state.name, state.version))
        status, said = known.get(of[0], ("", "")) if of else ("", "")
        copies = instances(client.config(state.name, state.version)) if state.state == "READY" else None
        reason = state.reason or (NOT_PROBED if said == NOT_PROBED else "")
        yield ModelView(
            state.name, state.version, state.state or "NOT LOADED", reason, ", ".join(of), status,
            instances=copies, **_figures(count),
        )  # fmt: skip


def _advice(context: Context, client: Client) -> Iterator[str]:
    """What the batches that ran say about a package's batch size."""
    owners = _owners(context)
    for model in (model for model in client.statistics() if model.name in owners):
        most = int(client.config(model.name).get("max_batch_size") or 0)
        ran_enough = not most and batch_advice(0, model.batches, unjoined="yes")  # the rules are asked only then
        unjoined = _unjoined(context, owners[model.name][0], model.name) if ran_enough else ""
        if sentence := batch_advice(most, model.batches, unjoined=unjoined):
            yield f"{model.name}: {sentence}"


def _unjoined(context: Context, name: str, model: str) -> str:
    """Why batching that was chosen for a package's model has no effect; "" where none was, or it has."""
    from tritonpm.settings import broken

    record = context.catalogue.get(name)
    axes, artefacts = batch_axes(context, record.package), made(context, record)
    for rule, case in broken(record.package, record.settings, axes, context.target, None, artefacts):
        if rule.name == UNJOINED and (model == name or model.startswith(f"{case.stage.name}.")):
            return f"{rule.explain(case)}; {rule.do}"
    return ""


def _owners(context: Context) -> dict[str, list[str]]:
    """Model name → the packages that have it; cascades may share a member."""
    revisions: dict[str, list[str]] = {}
    for revision in context.catalogue.published():
        for model in revision.models:
            revisions.setdefault(model.name, []).append(revision.name)
    return {name: sorted(of) for name, of in revisions.items()}


def _figures(count: Statistics | None) -> dict[str, Any]:
    if count is None:
        return {"inferences": 0, "failures": 0}
    last = datetime.fromtimestamp(count.last_inference_ms / 1000).astimezone() if count.last_inference_ms else None
    return {
        "inferences": count.inferences,
        "failures": count.fail.count,
        "queue_us": count.queue.average_us,
        "last_inference": last.isoformat(timespec="seconds") if last else "",
    }

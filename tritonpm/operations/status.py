"""How the models on a server stand: the server's side and the workspace's, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tritonpm.operations import views
from tritonpm.settings.advice import batch_advice

if TYPE_CHECKING:
    from tritonpm.operations.manager import Manager
    from tritonpm.triton.client import Client, Statistics


def models(manager: Manager, client: Client) -> Iterator[views.ModelView]:
    """Every model and version that the server knows, with what it did and which packages it is of."""
    owners = _owners(manager)
    statuses = {entry.name: entry.status for entry in manager.catalogue.packages()}
    counted = {(each.name, each.version): each for each in client.statistics()}
    for state in client.index():
        of, count = owners.get(state.name, []), counted.get((state.name, state.version))
        status = statuses.get(of[0], "") if of else ""
        instances = _instances(client.config(state.name, state.version)) if state.state == "READY" else None
        yield views.ModelView(
            state.name, state.version, state.state or "NOT LOADED", state.reason, ", ".join(of), status,
            instances=instances, **_figures(count),
        )  # fmt: skip


def advice(manager: Manager, client: Client) -> Iterator[str]:
    """What the batches that ran say about a package's batch size."""
    owners = _owners(manager)
    for each in client.statistics():
        most = int(client.config(each.name).get("max_batch_size") or 0) if each.name in owners else 0
        if said := batch_advice(most, each.batches):
            yield f"{each.name}: {said}"


def _owners(manager: Manager) -> dict[str, list[str]]:
    """Model name → the packages that have it; cascades may share a member."""
    found: dict[str, list[str]] = {}
    for revision in manager.catalogue.published():
        for model in revision.models:
            found.setdefault(model.name, []).append(revision.name)
    return {name: sorted(of) for name, of in found.items()}


def _instances(config: Mapping[str, Any]) -> int | None:
    """How many copies run, on all devices; None for an ensemble, which has none."""
    groups = config.get("instance_group", ())
    return sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", ()))) for group in groups) or None


def _figures(count: Statistics | None) -> dict[str, Any]:
    if count is None:
        return {"inferences": 0, "failures": 0}
    last = datetime.fromtimestamp(count.last_inference_ms / 1000).astimezone() if count.last_inference_ms else None
    return {
        "inferences": count.inferences,
        "failures": count.failures,
        "queue_us": count.queue_us,
        "last_inference": last.isoformat(timespec="seconds") if last else "",
    }

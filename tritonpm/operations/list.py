"""The use case of listing packages: apart from the manager, so that a list loads nothing that it does not need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.catalogue.jobs import Job
    from tritonpm.catalogue.listing import Listing


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
    reason: str
    revision: int | None
    digest: str
    used_by: tuple[str, ...] = ()


def packages(listing: Listing) -> list[PackageView]:
    """Every package, by name."""
    busy, users = listing.busy(), listing.users()
    return [
        PackageView(
            entry.name, entry.summary.type, entry.summary.stages, entry.summary.mode, entry.summary.device,
            entry.summary.max_batch_size, entry.summary.precision,
            *status(entry.status, entry.reason, busy.get(entry.name)), entry.revision, entry.digest,
            users.get(entry.name, ()),
        )
        for entry in listing.packages()
    ]  # fmt: skip


def status(status: str, reason: str, job: Job | None) -> tuple[str, str]:
    """A package's status and reason; while `job` works on it, it is optimising."""
    return ("optimising", f"job {job.id}") if job else (status, reason)

"""`tritonpm list`: the packages of a workspace. Scripts run it often, so it imports nothing that it does not need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritonpm.triton import liveness

if TYPE_CHECKING:
    from tritonpm.catalogue.catalogue import Record
    from tritonpm.catalogue.jobs import Job
    from tritonpm.catalogue.listing import Entry, Listing

NOT_PROBED = "not probed"
NO_SERVER = "no server runs; it is loaded again with the next one"


@dataclass(frozen=True)
class PackageView:
    """A package in a list. `type` is single or cascade.

    `revision` serves, or comes back; None until something was published.
    """

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
    proved: int | None = None  # the revision that a restart brings back
    drift: str = ""  # why what is wanted is not what was proved, and what to do
    canary_of: str = ""  # the package that it shall take the place of
    version: str = ""
    serves: bool = False  # also while it is being optimised


def packages(listing: Listing) -> list[PackageView]:
    """Every package, by name."""
    busy, users = listing.busy(), listing.users()
    alive = liveness.server_lives(listing.workspace.server)
    return [
        PackageView(
            entry.name, entry.summary.type, entry.summary.stages, entry.summary.mode, entry.summary.device,
            entry.summary.max_batch_size, entry.summary.precision,
            *status(entry, busy.get(entry.name), alive), entry.proved or entry.revision, entry.digest,
            users.get(entry.name, ()), entry.proved,
            unproved(listing, entry.name, entry),
            entry.canary_of, entry.summary.version, entry.status == "loaded" and (bool(entry.server) or alive),
        )
        for entry in listing.packages()
    ]  # fmt: skip


def unproved(listing: Listing, name: str, package: Entry | Record) -> str:
    """Why what is wanted of a package is not what was proved, and what to do; "" where it is, or nothing was proved."""
    changed, problem, proved, wanted = package.changed, package.problem, package.proved, package.wanted
    if proved is None or not (changed or problem):
        return ""
    what = listing.change(name) if changed else ""
    problem = problem.rstrip(".; ")
    stays = f"so revision {proved} stays" if wanted else f"and revision {proved} was proved last"
    if problem and changed:
        return (
            f"what is wanted could not be brought in ({problem}), {stays}; `tritonpm load {name}` tries again, "
            f"`tritonpm rollback {name}` discards the change ({what})"
        )
    if problem:
        return f"what is wanted could not be brought in ({problem}), {stays}; `tritonpm load {name}` tries again"
    serves = "serves or comes back" if wanted else "was proved last"
    return f"was changed since revision {proved}, which {serves}; `tritonpm load {name}` brings the change ({what})"


def status(package: Entry | Record, job: Job | None, alive: bool) -> tuple[str, str]:
    """A package's status and reason; while `job` works on it, it is optimising. What no probe proved says so.

    What the workspace's own server loaded is loaded while that is `alive`: one that was killed records nothing.
    """
    if job:
        return "optimising", f"job {job.id}"
    if package.status == "loaded" and not package.server and not alive:
        return "ready", NO_SERVER
    unprobed = NOT_PROBED if package.status == "loaded" and not package.probed else ""
    return package.status, package.reason or unprobed

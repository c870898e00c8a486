"""On-demand packages: loaded when somebody uses them, unloaded when nobody did for a while, or when room is needed.

Pinned packages, which is what they are unless told otherwise, are never unloaded by themselves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from tritonpm.core.errors import BusyError, CapacityError, NotFoundError, ServerError, UsageError
from tritonpm.core.units import MIB, human
from tritonpm.operations.server import connect, own_server
from tritonpm.operations.unload import unload, withdraw
from tritonpm.operations.usage import users
from tritonpm.settings.settings import ON_DEMAND
from tritonpm.triton.ensembles import NEXT
from tritonpm.triton.processes import own_memory, processes

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

LIMIT = "TRITONPM_MEMORY_MB"  # MiB of the machine's memory that models may take; without it, what is free
HOST = "host"  # as the name of a device, beside those of GPUs
_RESERVE = 0.05  # of the machine's memory, that is left to others


class Idle:
    """Watches the on-demand packages of a server; time is counted by a clock that no one can set."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._seen: dict[str, tuple[int, float]] = {}  # inferences, and since when there were no more

    def look(self) -> Iterator[str]:
        """Unload those that were idle for long enough; their names. To be called again and again."""
        for record in on_demand(self.context):
            name = record.package.name
            with suppress(ServerError, NotFoundError, BusyError):
                if self._idle(name) >= record.settings.idle_seconds:
                    unload(self.context, name)
                    del self._seen[name]
                    yield name

    def _idle(self, name: str) -> float:
        """Seconds without a request and without a project that uses it."""
        with connect(self.context) as client:
            done = sum(statistics.inferences for statistics in client.statistics(name))
        before, since = self._seen.get(name, (-1, 0.0))
        if done != before or self.context.catalogue.leases.live(name):
            self._seen[name] = done, time.monotonic()
            return 0.0
        return time.monotonic() - since


def on_demand(context: Context) -> list[Record]:
    """The loaded packages that may be unloaded."""
    loaded = [entry.name for entry in context.catalogue.packages() if entry.status == "loaded"]
    records = [context.catalogue.get(name) for name in loaded]
    return [record for record in records if record.settings.residency == ON_DEMAND]


def make_room(context: Context, client: Client, revision: Revision, require: Callable[[], None]) -> None:
    """Unload on-demand packages, the least recently used first, until `require` raises CapacityError no more.

    Those in use stay. Raises CapacityError where even that is not enough.
    """
    while True:
        try:
            require()
            require_host(context, client, revision)
            return
        except CapacityError:
            if (name := _least_recent(context, client, revision.name)) is None:
                raise
            context.warn(f"{name} is unloaded to make room for {revision.name}.")
            withdraw(context, client, name)


def _least_recent(context: Context, client: Client, but: str) -> str | None:
    """The on-demand package whose last request is the oldest, among those that nobody uses."""
    last = {statistics.name: statistics.last_inference_ms for statistics in client.statistics()}
    names = [record.package.name for record in on_demand(context)]
    free = [name for name in names if name != but and name in last and not users(context, name)]
    return min(free, key=lambda name: last[name], default=None)


def require_host(context: Context, client: Client, revision: Revision) -> None:
    """Raise CapacityError where the machine's memory is too small for what a revision, or the one before, took here.

    What was never loaded here is not known, and tried. Servers of other machines say nothing of their memory.
    """
    before = context.catalogue.revision(revision.name.removesuffix(NEXT))
    known = next(filter(None, (taken(context, one) for one in (revision, before) if one)), None)
    if own_server(context) is None or known is None or client.ready(revision.name):
        return
    room, how = _room(context)
    if known > room:
        raise CapacityError(
            f"it took {human(known)} when it was loaded last, and {human(max(0, room))} are free ({how})",
            where=revision.name,
            do="unload another package, or declare some on-demand (`tritonpm set --residency on-demand`)",
        )


def server_memory(context: Context) -> int:
    """Bytes that the process of our own server takes, its stubs apart."""
    server = own_server(context)
    return own_memory(server) if server else 0


def taken(context: Context, revision: Revision) -> int | None:
    """Bytes of the machine's memory that a revision took when it was loaded; None where that is not known."""
    return context.catalogue.artefacts.memory(revision.digest, HOST)


def remember_host(context: Context, revision: Revision, before: int) -> None:
    """Keep what a loaded revision takes of the machine's memory.

    A model without stubs takes that by which the server has grown, from `before` bytes; less where it found some that
    another had left, so the most that was ever seen counts.
    """
    server = own_server(context)
    if server is None:
        return
    names = {model.name for model in revision.models}
    size = sum(process.taken for process in processes(server) if process.model in names)
    size = size or max(server_memory(context) - before, taken(context, revision) or 0)
    if size > 0:
        context.catalogue.artefacts.put_memory(revision.digest, HOST, size)


def free_memory() -> int:
    """Bytes of the machine's memory that models may take where nobody limits them."""
    memory = psutil.virtual_memory()
    return int(memory.available - _RESERVE * memory.total)


def _room(context: Context) -> tuple[int, str]:
    """Bytes, and what they are."""
    limit = os.environ.get(LIMIT)
    if limit is None:
        return free_memory(), "of this machine"
    if not limit.isdecimal():
        raise UsageError(f"{limit!r} is not a number of MiB", where=LIMIT, do="give a whole number")
    return int(limit) * MIB - _held(context), f"of the {limit} that {LIMIT} allows"


def _held(context: Context) -> int:
    """By all models: what their stubs take, or what was remembered of packages without any."""
    server = own_server(context)
    by_model: dict[str, int] = {}
    for process in processes(server) if server else ():
        by_model[process.model] = by_model.get(process.model, 0) + process.taken
    loaded = [entry.name for entry in context.catalogue.packages() if entry.status == "loaded"]
    revisions = [proved.revision for name in loaded if (proved := context.catalogue.proved(name))]
    within = [each for each in revisions if not any(model.name in by_model for model in each.models)]
    held = [taken(context, revision) or 0 for revision in within]
    return sum(size for model, size in by_model.items() if model) + sum(held)

"""What the machine, the GPUs, the server and the packages do, and what they did in the last minutes."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from tritonpm.operations.monitor.snapshot import Snapshot
from tritonpm.web.api.common import TheSite, new_router
from tritonpm.web.observed import FigureHistory

router = new_router("monitor")


@router.get("/monitor")
def snapshots(site: TheSite, last: Annotated[int, Query(ge=1, le=1000)] = 1) -> list[Snapshot]:
    """The last snapshots, the oldest first; each is what `tritonpm top -o json` prints."""
    return site.ring.snapshots()[-last:]


@router.get("/monitor/history")
def columns(
    site: TheSite, after: Annotated[int, Query(ge=0)] = 0,
    minutes: Annotated[Literal["15", "60", "1440"], Query(description="Of more than 15, the means.")] = "15",
) -> FigureHistory:  # fmt: skip
    """The figures of the last minutes as columns, since the page began; of 15 those with a number above `after`."""
    return site.history(int(minutes), after)

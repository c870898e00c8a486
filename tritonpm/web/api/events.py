"""What is being done, and what happens, as it happens."""

from __future__ import annotations

from fastapi.responses import StreamingResponse

from tritonpm.core.errors import BusyError, NotFoundError
from tritonpm.web.api.common import Say, TheSite, new_router
from tritonpm.web.tasks import LongTask, task_shown

router = new_router("events")


@router.get("/events", response_class=StreamingResponse)
async def events(site: TheSite, say: Say, snapshots: bool = False) -> StreamingResponse:
    """Server-sent events: `packages` (the list has changed), `server`, `job` and `operation` (how far each is).

    With `snapshots` also `snapshot`: what /monitor/history has more of.
    """
    if site.hub.full:
        raise BusyError("too many pages are open", do="close one of them")
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(site.hub.listen(say, snapshots=snapshots), media_type="text/event-stream", headers=headers)


@router.get("/operations")
def operations(site: TheSite, say: Say) -> list[LongTask]:
    """What is being done and what was done last, the newest first."""
    return [task_shown(task, say) for task in site.tasks.all()]


@router.get("/operations/{number}")
def operation(site: TheSite, say: Say, number: str) -> LongTask:
    """One operation."""
    task = site.tasks.get(number)
    if task is None:
        raise NotFoundError("there is no such operation, or it is over")
    return task_shown(task, say)

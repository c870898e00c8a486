"""What settings that nobody stored ask for, made on the side: for who only tries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.artefacts import made, require_calibrated, works_of
from tritonpm.operations.memory import require_room_to_build
from tritonpm.operations.optimize.jobs import TIME_LIMIT, default_memory
from tritonpm.operations.optimize.run_job import Optimiser
from tritonpm.operations.stage_inputs import JobLimits

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context


def make(context: Context, record: Record, seconds: float = TIME_LIMIT) -> None:
    """Make and prove what a record's settings ask for, unless that is there; `seconds` are for each stage.

    Nothing of the package changes but that the artefacts are kept. Raises OptimisationError, CapacityError.
    """
    asked, _ = works_of(context, record)
    require_calibrated(record, asked)
    if len(made(context, record)) < len(asked):
        require_room_to_build(context, record)
        with context.workspace.scratch("make") as folder:
            Optimiser(context, record, folder, JobLimits(seconds, default_memory())).run()

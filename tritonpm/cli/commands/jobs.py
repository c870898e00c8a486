"""`tritonpm jobs`: the optimisations, running and past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tritonpm.cli.app import App, command, pass_app, reading

if TYPE_CHECKING:
    from tritonpm.operations.optimize.jobs import JobView


@command(
    "jobs",
    examples="""
    tritonpm jobs
    tritonpm jobs follow 3
    tritonpm jobs cancel 3
    tritonpm jobs resume 3
    """,
)
@click.argument("action", type=click.Choice(["list", "follow", "cancel", "resume"]), default="list")
@click.argument("job", type=int, required=False)
@reading
@pass_app
def jobs_command(app: App, action: str, job: int | None) -> None:
    """List optimisation jobs; follow, cancel or resume one."""
    from tritonpm.operations.optimize.decision import of_job
    from tritonpm.operations.optimize.jobs import cancel, list_jobs, resume, watch

    with app.open() as context:
        if action == "list":
            _list(app, list_jobs(context))
            return
        if job is None:
            raise click.UsageError(f"give the number of the job to {action}")
        if action == "cancel":
            app.say(f"Job {job} is {cancel(context, job).state}.")
            return
        if action == "resume":
            job = resume(context, job)
        ended, decision = watch(context, job), of_job(context.catalogue.jobs, job)
    app.say(f"Job {job} on {ended.package} is done.")
    for sentence in decision.sentences if decision else ():
        app.say(f"{sentence[0].upper()}{sentence[1:]}.")


def _list(app: App, jobs: list[JobView]) -> None:
    from tritonpm.cli.output import moment, table

    columns = ("JOB", "PACKAGE", "STATE", "STAGE", "STEP", "DONE", "SINCE", "REASON OR COMPARISON")
    rows = (
        (
            job.id, job.package, job.state, job.stage, job.step, f"{job.done}/{job.total}" if job.total else "",
            moment(job.created), job.reason or "; ".join(job.comparison[:1]),
        )
        for job in jobs
    )  # fmt: skip
    app.emit("JobList", jobs, lambda: table(columns, rows))
    if not jobs:
        app.advise("No jobs yet; `tritonpm optimize NAME` starts one.")

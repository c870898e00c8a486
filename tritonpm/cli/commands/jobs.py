"""`tritonpm jobs`: the optimisations, running and past."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, pass_app, reading


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
    """List the optimisations; follow, cancel or resume one."""
    optimising = app.manager().optimising
    if action == "list":
        _list(app, optimising.listed())
        return
    if job is None:
        raise click.UsageError(f"give the number of the job to {action}")
    if action == "cancel":
        app.say(f"Job {job} is {optimising.cancel(job).state}.")
        return
    if action == "resume":
        job = optimising.resume(job)
    ended = optimising.watched(job)
    app.say(f"Job {job} on {ended.package} is done.")


def _list(app: App, jobs: list[Any]) -> None:
    from tritonpm.cli.output import table

    columns = ("JOB", "PACKAGE", "STATE", "STAGE", "STEP", "DONE", "SINCE", "REASON")
    rows = (
        (j.id, j.package, j.state, j.stage, j.step, f"{j.done}/{j.total}" if j.total else "", j.created, j.reason)
        for j in jobs
    )
    app.emit("JobList", jobs, lambda: table(columns, rows))
    if not jobs:
        app.advise("No jobs yet; `tritonpm optimize NAME` starts one.")

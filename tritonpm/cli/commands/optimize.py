"""`tritonpm optimize`: compiles a package for what it runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.headings import SETTINGS
from tritonpm.cli.optimise_output import describe_optimised
from tritonpm.cli.options import NAME, SAMPLES, limited
from tritonpm.cli.setting_options import setting_options
from tritonpm.core.units import GIB


@command(
    "optimize",
    examples="""
    tritonpm optimize bolts
    tritonpm optimize bolts --precision int8 --calibration images/ --max-drop 0.01
    tritonpm optimize bolts --optimizer auto --concurrency 64
    tritonpm optimize bolts --device gpu-optimised --precision fp16 --detach
    """,
    headings=SETTINGS,
)
@NAME
@click.option("--stage", help="Change only this stage of a cascade.")
@setting_options
@SAMPLES
@click.option(
    "--plugin",
    "plugins",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="TensorRT: a shared library of plugins, which runs as code (repeatable).",
)
@click.option(
    "--compare/--no-compare",
    default=True,
    show_default=True,
    help="CPU: measure it against the version before; with --optimizer auto, keep the better one.",
)
@click.option("--concurrency", type=click.IntRange(1), help="Requests in flight for the comparison [default: as now].")
@click.option("--batch-size", type=click.IntRange(1), help="Rows per request for the comparison [default: as now].")
@click.option("--again", is_flag=True, help="Compile and prove again, even if a result exists.")
@click.option("--detach", is_flag=True, help="Return at once; `tritonpm jobs` shows the progress.")
@limited
@reading
@pass_app
def optimize_command(
    app: App, /, name: str, stage: str | None, changes: dict[str, Any], calibration: Path | None,
    plugins: tuple[Path, ...], compare: bool, concurrency: int | None, batch_size: int | None,
    again: bool, detach: bool, time_limit: float, memory_limit: float | None,
) -> None:  # fmt: skip
    """Compile a package for its hardware; its answers are proved, and its speed is compared."""
    from tritonpm.operations.optimize.decision import of_job
    from tritonpm.operations.optimize.jobs import cancel, start, to_optimise_for, watch
    from tritonpm.operations.optimize.workload import ComparisonRequest
    from tritonpm.operations.show import show

    if not compare and (concurrency or batch_size):
        raise click.UsageError("--concurrency and --batch-size are for the comparison; leave --no-compare out")
    comparison = ComparisonRequest(concurrency, batch_size) if compare else None
    memory = int(memory_limit * GIB) if memory_limit else None
    with app.open() as context:
        settings = to_optimise_for(context, name, changes, stage=stage, calibration=calibration, plugins=plugins)
        job = start(
            context, name, settings, again=again, time_limit=time_limit, memory_limit=memory, compare=comparison
        )
        if job and detach:
            app.say(f"Job {job.id} optimises {name}; `tritonpm jobs follow {job.id}` shows how far it is.")
            return
        if job:
            try:
                watch(context, job.id)
            except KeyboardInterrupt:
                cancel(context, job.id)
                raise
        view, decision = show(context, name), of_job(context.catalogue.jobs, job.id) if job else None
    app.emit("PackageDetails", view, lambda: describe_optimised(view, decision, fresh=job is not None))

"""Commands that compile models: in a package, with jobs; or a file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.settings import Bound, Pair, setting_options
from tritonpm.settings.settings import PRECISIONS

if TYPE_CHECKING:
    from tritonpm.operations.views import ConversionView, OptimisationView, PackageDetails

NAME = click.argument("name", metavar="NAME")
SAMPLES = click.option(
    "--calibration", type=click.Path(path_type=Path), metavar="FOLDER",
    help="INT8: .npz files or images to calibrate on [default: the package's samples].",
)  # fmt: skip
LIMITS = (
    click.option("--time-limit", type=float, default=3600.0, show_default=True, help="Seconds for each stage."),
    click.option("--memory-limit", type=float, metavar="GIB", help="For each stage [default: 3/4 of the machine's]."),
)
GIB = 1 << 30


def limited(function: Any) -> Any:
    """Add the limits of a conversion."""
    for option in reversed(LIMITS):
        function = option(function)
    return function


@command(
    "optimize",
    examples="""
    tritonpm optimize bolts
    tritonpm optimize bolts --precision int8 --calibration images/ --max-drop 0.01
    tritonpm optimize bolts --device gpu-optimised --precision fp16 --detach
    """,
)
@NAME
@click.option("--stage", help="Change one stage of a cascade only.")
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
@click.option("--again", is_flag=True, help="Compile and prove anew what is there already.")
@click.option("--detach", is_flag=True, help="Return at once; `tritonpm jobs` shows how far it is.")
@limited
@reading
@pass_app
def optimize_command(
    app: App, /, name: str, stage: str | None, changes: dict[str, Any], calibration: Path | None,
    plugins: tuple[Path, ...], again: bool, detach: bool, time_limit: float, memory_limit: float | None,
) -> None:  # fmt: skip
    """Compile a package for what it runs on, and prove that its answers are unchanged."""
    manager = app.manager()
    optimising = manager.optimising
    optimising.choose(name, changes, stage=stage, calibration=calibration, plugins=plugins)
    memory = int(memory_limit * GIB) if memory_limit else None
    job = optimising.start(name, again=again, time_limit=time_limit, memory_limit=memory)
    if job and detach:
        app.say(f"Job {job.id} optimises {name}; `tritonpm jobs follow {job.id}` shows how far it is.")
        return
    if job:
        try:
            optimising.watched(job.id)
        except KeyboardInterrupt:
            optimising.cancel(job.id)
            raise
    view = manager.show(name)
    app.emit("PackageDetails", view, lambda: describe_optimised(view, fresh=job is not None))


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


@command(
    "convert",
    examples="""
    tritonpm convert model.onnx --to openvino -o out
    tritonpm convert model.onnx --to openvino --precision int8 --calibration samples/ --output out
    tritonpm convert model.onnx --to tensorrt --precision fp16 --compute-capability 8.9 -o out
    tritonpm convert saved_model/ --to openvino -o out
    """,
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", "target", type=click.Choice(["openvino", "onnx", "tensorrt"]), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--precision", type=click.Choice(PRECISIONS, case_sensitive=False), default="FP32", show_default=True)
@SAMPLES
@click.option("--max-drop", type=float, help="INT8: share of the score that may be lost, e.g. 0.01.")
@click.option("--tolerance", "tolerances", type=Bound(), multiple=True, help="A bound of the proof (repeatable).")
@click.option("--max-batch-size", type=int, default=8, show_default=True, help="TensorRT: the largest batch.")
@click.option("--shape", "shapes", type=Pair(), multiple=True, help="TensorRT: INPUT=LEAST:BEST:MOST (repeatable).")
@click.option("--compute-capability", metavar="X.Y", help="TensorRT: of the GPU to build for [default: the one here].")
@limited
@pass_app
def convert_command(app: App, /, source: Path, target: str, output: Path, **told: Any) -> None:
    """Convert a model file, and prove it against the original."""
    from tritonpm.operations.optimize.convert_file import convert

    told["tolerances"], told["shapes"] = dict(told["tolerances"]), dict(told["shapes"])
    memory = told.pop("memory_limit")
    told["memory_limit"] = int(memory * GIB) if memory else None
    view = convert(source, target, output, progress=app.progress, **told)
    describe_conversion(view)


@command("profile", examples="tritonpm profile bolts\ntritonpm profile bolts --stage detect --top 10 -o json")
@NAME
@click.option("--stage", help="Of a cascade: which stage [default: each].")
@click.option("--top", type=int, default=20, show_default=True, help="How many layers to show.")
@reading
@pass_app
def profile_command(app: App, name: str, stage: str | None, top: int) -> None:
    """Show where a package's time goes, layer by layer, the slowest first."""
    from tritonpm.cli.output import table

    layers = app.manager().optimising.profile(name, stage)
    shown = layers[:top] if app.output == "table" else layers
    columns = ("STAGE", "LAYER", "TYPE", "KERNEL", "PRECISION", "MICROSECONDS", "SHARE")
    total = sum(layer.micros or 0 for layer in layers) or 1
    rows = (
        (e.stage, e.name, e.kind, e.kernel, e.precision, "" if e.micros is None else f"{e.micros:.0f}",
         "" if e.micros is None else f"{e.micros / total:.1%}")
        for e in shown
    )  # fmt: skip
    app.emit("Profile", layers, lambda: table(columns, rows))
    if any(layer.micros is None for layer in layers):
        app.advise("An engine's times need its GPU; these are the layers that its build told.")


def describe_optimised(view: PackageDetails, *, fresh: bool) -> None:
    """Print what an optimisation came to."""
    click.echo(f"{'Optimised' if fresh else 'Nothing to do for'} {view.name}.")
    optimisations(view.optimisations)
    for made in view.optimisations:
        for note in made.notes:
            click.echo(f"Note: stage {made.stage}: {note}.")


def optimisations(listed: tuple[OptimisationView, ...]) -> None:
    """Print how stages were optimised, and what the proof measured."""
    from tritonpm.cli.output import table

    columns = ("STAGE", "OPTIMIZER", "PRECISION", "STATE", "MAX ABS", "MAX REL", "COSINE", "TOP-1", "BOXES", "ON")
    table(columns, ((m.stage, m.optimizer, m.precision, _state(m), *_measures(m.agreement)) for m in listed))


def _state(made: OptimisationView) -> str:
    return f"{made.state} ({made.reason})" if made.reason else made.state


def _measures(agreement: Any) -> tuple[str, ...]:
    outputs = agreement.outputs
    worst = ("", "", "")
    if outputs:
        worst = (
            f"{max(o.max_abs for o in outputs):.2g}",
            f"{max(o.max_rel for o in outputs):.2g}",
            f"{min(o.cosine for o in outputs):.6f}",
        )
    shares = ("" if share is None else f"{share:.2%}" for share in (agreement.top1, agreement.boxes))
    return (*worst, *shares, agreement.inputs)


def describe_conversion(view: ConversionView) -> None:
    """Print what a conversion made."""
    from tritonpm.cli.output import facts

    click.echo(f"Wrote {view.model} ({view.format}, {view.precision}, {view.bytes / 2**20:.1f} MiB).")
    state = f"{view.agreement.state} ({view.agreement.reason})" if view.agreement.reason else view.agreement.state
    names = ("max abs", "max rel", "cosine", "top-1", "boxes", "compared on")
    measured = zip(names, _measures(view.agreement), strict=True)
    facts((("answers", state), *((name, value) for name, value in measured if value)))

"""`tritonpm perf list` and `report`: the results of a workspace, what they are made of, and pages of them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from tritonpm.core.errors import NotFoundError
from tritonpm.hardware.host import host
from tritonpm.operations.artefacts import stages
from tritonpm.operations.sample_inputs import measuring_inputs
from tritonpm.operations.summary import precision
from tritonpm.perf.measurement import Machine, Measurement, Quality, Result, Storage
from tritonpm.perf.results import Results

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.artefacts import OptimisationView
    from tritonpm.operations.context import Context
    from tritonpm.operations.perf.bench import Bench


def results_of(context: Context) -> Results:
    """The results that the workspace keeps."""
    return Results(context.workspace.state / "perf")


def result(context: Context, what: str) -> Result:
    """A result by its number, or a package's newest. Raises NotFoundError, StorageError."""
    results = results_of(context)
    if what.isdecimal():
        return results.get(int(what))
    of_package = results.all(what)
    if not of_package:
        raise NotFoundError(f"{what} was not measured yet", do=f"`tritonpm perf {what}`")
    return of_package[0]


def composed(
    bench: Bench, record: Record, revision: Revision, number: int | None, measurements: tuple[Measurement, ...],
    price: float | None,
) -> Result:  # fmt: skip
    """All that is kept of a measured revision, whose `number` is None where it was not published.

    The result's own number is given when it is kept.
    """
    context, package = bench.context, record.package
    client = next(iter(bench.clients.values()))
    settings = msgspec.json.decode(msgspec.json.encode(record.settings))
    return Result(
        0, _now(), package.name, package.version, package.digest, number, revision.digest,
        machine(context), {"perf_analyzer": bench.tool.version, "tritonserver": client.server_version()},
        settings, measuring_inputs(context, record, client, package.name).source, measurements,
        _storage(context, record, revision), _qualities(context, record), price,
    )  # fmt: skip


def composed_in_place(
    bench: Bench, name: str, sent: str, measurements: tuple[Measurement, ...], price: float | None
) -> Result:
    """The same of a model of somebody else's server: this machine is the client's, and no files are known."""
    client = next(iter(bench.clients.values()))
    tools = {"perf_analyzer": bench.tool.version, "tritonserver": client.server_version()}
    return Result(
        0, _now(), name, "", "", None, "", machine(bench.context), tools, {}, sent, measurements, Storage(0), (), price,
        (f"measured at {client.where}, of whose machine and files nothing is known",),
    )  # fmt: skip


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")


def machine(context: Context) -> Machine:
    """This machine."""
    here = host()
    gpus = tuple(f"{gpu.name} ({gpu.compute_capability})" for gpu in here.gpus)
    memory = psutil.virtual_memory().total
    return Machine(here.cpu, context.target.cores, memory, gpus, f"{platform.system()} {platform.release()}")


def write_report(path: Path, results: Sequence[Result]) -> None:
    """Write results as a page. Raises StorageError."""
    from tritonpm.perf.report import html

    write_page(path, html(results))


def write_page(path: Path, page: str) -> None:
    """Write a page. Raises StorageError."""
    from tritonpm.core.files import storage_error

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise storage_error(error, path) from None


def _storage(context: Context, record: Record, revision: Revision) -> Storage:
    files = [file for model in revision.models for file in model.files]
    blobs = sum(context.blobs.path(file.blob).stat().st_size for file in files if file.blob)
    disk = blobs + sum(len(file.text.encode()) for file in files if file.text is not None)
    gpus = context.target.gpus if record.settings.on_gpu else ()
    on_gpus = [context.catalogue.artefacts.memory(revision.digest, gpu.name) for gpu in gpus]
    return Storage(disk, max((size for size in on_gpus if size is not None), default=None))


def _qualities(context: Context, record: Record) -> tuple[Quality, ...]:
    """What the proofs say, stage by stage."""
    views = {view.stage: view for view in stages(context, record)}
    return tuple(_quality(stage.name, record, views.get(stage.name)) for stage in record.package.stages)


def _quality(stage: str, record: Record, view: OptimisationView | None) -> Quality:
    if view is None or view.optimizer == "none":
        return Quality(stage, precision(record.package, record.settings), "original", "served as it came")
    proof = view.agreement
    scaled = max((output.scaled for output in proof.outputs), default=None)
    return Quality(stage, view.precision, view.state, view.reason, scaled, proof.top1, proof.boxes)

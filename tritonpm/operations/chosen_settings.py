"""The one place where settings change: asked for, laid over what there was, refused where a rule forbids it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, RuleError
from tritonpm.core.files import digest_of
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.readable import require_readable
from tritonpm.operations.render import revision_of
from tritonpm.operations.starting_settings import starting_settings
from tritonpm.settings.settings import Settings, references

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context


def chosen_settings(
    context: Context,
    record: Record,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    calibration: Path | None = None,
    plugins: Sequence[Path] = (),
    unset: Sequence[str] = (),
) -> Settings:
    """The settings of a package after a change, or after one of a stage; nothing is stored but the files.

    What contradicts the change and was not asked for goes with it, and is told; `unset` are settings that go back to
    what the package started with. `calibration` is a folder or file of samples for INT8, `plugins` are TensorRT's
    shared libraries: code.
    Raises RuleError, RenderError, NotFoundError.
    """
    from tritonpm.settings import adjusted, along, kept_by_stages

    package, axes = record.package, batch_axes(context, record.package)
    handed_in = _keep_files(context, plugins)
    if calibration:
        changes = {**changes, "calibration": _calibration_blobs(context, calibration)}
    if plugins:
        changes = {**changes, "plugins": handed_in}
    for _ in range(2):  # a larger batch is proved first, and what comes of that may change what gives way
        settings, dropped = adjusted(
            package, record.settings, changes, axes, context.target,
            stage=stage, unset=unset, starting=starting_settings(context, package, axes),
        )  # fmt: skip
        before, axes = axes, batch_axes(context, package, settings=settings)
        if axes == before:
            break
    require_handed_in(context, package.name, settings, record.settings, handed_in)
    revision_of(context, package, settings, axes)
    require_readable(context, package, settings)
    if dropped:
        context.warn(along(package.name, dropped))
    for told in kept_by_stages(package.name, settings, changes) if stage is None else ():
        context.warn(told)
    return settings


def require_handed_in(
    context: Context, name: str, settings: Settings, before: Settings, plugins: Sequence[str] = ()
) -> None:
    """Raise RuleError where settings name a file that nobody handed in as what it is used as.

    Samples are blobs that are here. A plugin is code: what the package has `before`, or is given as one now.
    """
    files, known = references(settings), {*references(before).plugins, *plugins}
    for digest in files.calibration:
        if not context.blobs.has(digest):
            raise RuleError(
                f"no samples are kept as {digest[:19]}…",
                where=name,
                do=f"`tritonpm optimize {name} --calibration FOLDER` hands them in",
            )
    for digest in files.plugins:
        if digest not in known or not context.blobs.has(digest):
            raise RuleError(
                f"no plugin was handed in as {digest[:19]}…",
                where=name,
                do=f"`tritonpm optimize {name} --plugin FILE` hands it in",
            )


def _calibration_blobs(context: Context, source: Path) -> tuple[str, ...]:
    """Keep the samples of a folder or file as blobs; their digests. Raises OptimisationError."""
    from tritonpm.convert.calibration import gather

    return _keep_files(context, gather(source))


def _keep_files(context: Context, files: Sequence[Path]) -> tuple[str, ...]:
    """Keep files as blobs; their digests. Raises NotFoundError."""
    digests = []
    for path in files:
        if not path.is_file():
            raise NotFoundError("does not exist", where=str(path), do="check the path")
        digests.append(digest_of(path))
        context.blobs.put(path, digests[-1])
    return tuple(digests)

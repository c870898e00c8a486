"""The one place where settings change: asked for, laid over what there was, refused where a rule forbids it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError
from tritonpm.core.files import digest_of
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.render import revision_of
from tritonpm.operations.starting_settings import starting_settings

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


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
    from tritonpm.settings import adjusted, along

    package, axes = record.package, batch_axes(context, record.package)
    if calibration:
        changes = {**changes, "calibration": _calibration_blobs(context, calibration)}
    if plugins:
        changes = {**changes, "plugins": _keep_files(context, plugins)}
    settings, dropped = adjusted(
        package, record.settings, changes, axes, context.target,
        stage=stage, unset=unset, starting=starting_settings(context, package, axes),
    )  # fmt: skip
    revision_of(context, package, settings, axes)
    if dropped:
        context.warn(along(package.name, dropped))
    return settings


def _calibration_blobs(context: Context, source: Path) -> tuple[str, ...]:
    """Keep the samples of a folder or file as blobs; their digests. Raises OptimisationError."""
    from tritonpm.convert.calibration import gather

    return _keep_files(context, gather(source))


def _keep_files(context: Context, files: Sequence[Path]) -> tuple[str, ...]:
    """Keep files as blobs; their digests. Raises NotFoundError."""
    digests = []
    for path in files:
        if not path.is_file():
            raise NotFoundError("is not there", where=str(path), do="check the path")
        digests.append(digest_of(path))
        context.blobs.put(path, digests[-1])
    return tuple(digests)

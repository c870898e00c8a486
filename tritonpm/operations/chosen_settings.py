"""The one place where settings change: what was asked for, laid over what there was, and refused where it breaks a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError
from tritonpm.core.files import digest_of
from tritonpm.operations.render import revision_of

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
) -> Settings:
    """The settings of a package after a change, or after one of a stage; nothing is stored but the files.

    `calibration` is a folder or file of samples for INT8, `plugins` are TensorRT's shared libraries: code.
    Raises RuleError, RenderError, NotFoundError.
    """
    from tritonpm.settings import changed, stage_changed

    before = record.settings
    if calibration:
        changes = {**changes, "calibration": _calibration_blobs(context, calibration)}
    if plugins:
        changes = {**changes, "plugins": _keep_files(context, plugins)}
    after = changed(before, changes) if stage is None else stage_changed(before, stage, changes)
    revision_of(context, record.package, after)
    return after


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

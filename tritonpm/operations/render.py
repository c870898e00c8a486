"""`tritonpm render`: from a package to the revision that its settings ask for, and into a folder of the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.types import BatchAxis, Optimised, Package, Revision
from tritonpm.operations.artefacts import required
from tritonpm.operations.batch_axes import Place, batch_axes, in_blobs

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


@dataclass(frozen=True)
class Rendering:
    """What was written where."""

    name: str
    revision: str
    models: tuple[str, ...]
    notes: tuple[str, ...]


def render(context: Context, name: str, folder: Path) -> Rendering:
    """Write a package's repository into a folder of the user's; the files are copies.

    Raises NotFoundError, NotOptimisedError, RuleError, RenderError, StorageError.
    """
    from tritonpm.repository.publish import publish

    revision = wanted_revision(context, name)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tritonpm-", dir=folder.parent) as staging:
        publish(revision, folder, Path(staging), context.blobs.path, link=False)
    notes = tuple(note for model in revision.models for note in model.notes)
    return Rendering(name, revision.digest[:16], tuple(model.name for model in revision.models), notes)


def wanted_revision(context: Context, name: str) -> Revision:
    """What the settings ask for. Raises NotOptimisedError where some of it was not made yet."""
    record = context.catalogue.get(name)
    return revision_of(context, record.package, record.settings, optimised=required(context, record))


def trial_revision(context: Context, record: Record, name: str, **changes: object) -> Revision:
    """What a package would be under another name and with other settings, for a server that only measures it."""
    from tritonpm.settings import adjusted

    axes = batch_axes(context, record.package)
    settings, _ = adjusted(record.package, record.settings, changes, axes, context.target)
    package = replace(record.package, name=name)
    return revision_of(context, package, settings, optimised=required(context, record))


def revision_of(
    context: Context,
    package: Package,
    settings: Settings,
    axes: Mapping[str, BatchAxis] | None = None,
    place: Place | None = None,
    *,
    optimised: Mapping[str, Optimised] | None = None,
) -> Revision:
    """The revision of a package with these settings. Raises RuleError, RenderError: it cannot be served so."""
    from tritonpm.operations.exact import exact
    from tritonpm.operations.front import fronted
    from tritonpm.operations.version_folders import numbered, policy
    from tritonpm.repository.render import render as rendered
    from tritonpm.settings import require

    place = place or in_blobs(context)
    axes = axes or batch_axes(context, package, place, settings=settings)
    require(package, settings, axes, context.target)
    version, earlier = numbered(context.catalogue, package, settings)
    axes = exact(context, package, settings, axes, optimised or {}, place)
    whole = fronted(context, package, settings, axes, optimised or {}, place)
    return rendered(
        whole.package, policy(whole.settings), context.target, whole.axes,
        optimised=whole.optimised, configs=configs(package, place), templates=context.workspace.templates,
        version=version, earlier=earlier,
    )  # fmt: skip


def configs(package: Package, place: Place) -> dict[str, str]:
    """The configs of the adopted stages, for other hardware too, by their path in the package."""
    from tritonpm.package.config import variant_of
    from tritonpm.repository.adopt import in_folder

    adopted = [stage for stage in package.stages if stage.config]
    paths = [str(stage.config) for stage in adopted]
    paths += [path for stage in adopted for path in stage.files if variant_of(in_folder(stage, path))]
    return {path: place(package.file(path)).read_text(encoding="utf-8") for path in paths}

"""Version folders: earlier contents of a package that stay served beside the current one, for clients that pin them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.core.types import Package, RenderedModel
from tritonpm.settings.settings import LATEST, Settings

if TYPE_CHECKING:
    from tritonpm.catalogue import Catalogue


def numbered(catalogue: Catalogue, package: Package, settings: Settings) -> tuple[str, dict[str, RenderedModel]]:
    """The version folder of a package's content, and what was published of the contents that are to stay.

    Where none are to stay the folder is always "1": a client that pinned it never has to change.
    """
    number = catalogue.version_of(package.name, package.digest) if settings.kept_versions > 1 else 1
    if number == 1:
        return "1", {}
    models: dict[int, RenderedModel] = {}
    for revision in catalogue.history(package.name):
        if revision.version < number:
            models.setdefault(revision.version, revision.revision.models[-1])
    kept = sorted(models, reverse=True)[: settings.kept_versions - 1]
    return str(number), {str(version): models[version] for version in sorted(kept)}


def policy(settings: Settings) -> Settings:
    """The settings with a version policy that serves what is kept, unless another one was chosen."""
    if settings.kept_versions == 1 or settings.version_policy != LATEST:
        return settings
    return replace(settings, version_policy=f"latest:{settings.kept_versions}")

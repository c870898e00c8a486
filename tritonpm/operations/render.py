"""From a package in the catalogue to the revision that its settings ask for; the proofs of batch axes on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.types import BatchAxis, File, Optimised, Package, Revision
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.operations.manager import Manager

Place = Callable[[File], Path]


class Rendering:
    """What a manager's packages are as model repositories; `place` says where their files lie, if not in blobs."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager

    def revision(
        self,
        package: Package,
        settings: Settings,
        axes: Mapping[str, BatchAxis] | None = None,
        place: Place | None = None,
        *,
        optimised: Mapping[str, Optimised] | None = None,
    ) -> Revision:
        """The revision of a package with these settings. Raises RuleError, RenderError."""
        from tritonpm.hardware import target
        from tritonpm.operations.version_folders import numbered, policy
        from tritonpm.repository.render import render
        from tritonpm.settings import require

        place = place or self._blob
        axes = axes or self.axes(package, place)
        require(package, settings, axes, target())
        configs = self.configs(package, place)
        version, earlier = numbered(self.manager.catalogue, package, settings)
        return render(
            package, policy(settings), target(), axes,
            optimised=optimised, configs=configs, templates=self.manager.workspace.templates,
            version=version, earlier=earlier,
        )  # fmt: skip

    def axes(self, package: Package, place: Place | None = None) -> dict[str, BatchAxis]:
        """What is known of each stage's batch axis; proved once for each content."""
        from tritonpm.convert.batch import PROOF, prove

        place = place or self._blob
        axes = {}
        for stage in package.stages:
            content = package.file(stage.model).digest if stage.model else package.digest
            key = f"{content} {PROOF} {stage.format.value} {'adopted' if stage.config else ''}"
            axis = self.manager.catalogue.axis(key)
            if axis is None or (axis.artefact and not self.manager.blobs.has(axis.artefact)):
                with (
                    self.manager.progress(f"Proving the batch axis of {stage.name}"),
                    self.manager.workspace.scratch("axis") as folder,
                ):
                    files = {path: place(package.file(path)) for path in stage.files}
                    samples = [place(package.file(sample.inputs)) for sample in stage.samples]
                    axis, rewritten = prove(stage, files, samples, folder)
                    if rewritten and axis.artefact:
                        self.manager.blobs.put(rewritten, axis.artefact, move=True)
                self.manager.catalogue.put_axis(key, axis)
            axes[stage.name] = axis
        return axes

    def configs(self, package: Package, place: Place) -> dict[str, str]:
        """The config.pbtxt of each adopted stage."""
        return {
            stage.name: place(package.file(stage.config)).read_text(encoding="utf-8")
            for stage in package.stages
            if stage.config
        }

    def _blob(self, file: File) -> Path:
        return self.manager.blobs.path(file.digest)

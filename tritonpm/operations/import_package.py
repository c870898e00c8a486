"""How packages come in and go out: read and refused, or kept; exchanged for a new version; written as a .zip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tritonpm.core.errors import PackageError
from tritonpm.core.types import File, Package
from tritonpm.operations import views
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.operations.manager import Manager


class Importing:
    """The ways in and out of a manager's workspace."""

    def __init__(self, manager: Manager) -> None:
        self.manager, self.rendering = manager, manager.rendering

    def import_package(
        self,
        source: Path,
        *,
        name: str | None = None,
        allow_code: bool = False,
        changes: Mapping[str, object] | None = None,
        profile: str = "",
        ignore_requirements: bool = False,
        canary_of: str = "",
    ) -> views.PackageDetails:
        """Bring a package in: read, refuse or keep. `profile` is the site's, such as mech-vision.

        A canary begins with the settings of the package that it is of.

        Raises PackageError, SignatureError, RuleError, NameTakenError, RequirementError.
        """
        from tritonpm import settings as choices
        from tritonpm.hardware import target

        if name is not None:
            self.manager.catalogue.require_free(name)
        with self.manager.workspace.scratch("import") as staging:
            package = self.read(source, staging, name=name, allow_code=allow_code)
            digest = "" if canary_of else package.digest
            self.manager.catalogue.require_free(package.name, digest)

            def place(file: File) -> Path:
                return staging / file.path

            axes = self.rendering.axes(package, place)
            chosen = choices.defaults(package, axes, "gpu" if target().gpus else "cpu")
            if canary_of:
                chosen = _inherited(self.manager.catalogue.get(canary_of).settings, package, chosen)
            chosen = choices.changed(self._adopted(package, chosen, place), changes or {})
            self.rendering.revision(package, chosen, axes, place)
            self._require_machine(package, chosen, profile, ignore=ignore_requirements)
            with self.manager.changing(f"import {package.name}"):
                self.manager.catalogue.require_free(package.name, digest)
                for file in package.files:
                    self.manager.blobs.put(staging / file.path, file.digest, move=True)
                self.manager.catalogue.add(package, chosen, views.summary(package, chosen), canary_of=canary_of)
        return self.manager.show(package.name)

    def read(self, source: Path, staging: Path, *, name: str | None = None, allow_code: bool = False) -> Package:
        """What a source holds, its files in `staging`, once the workspace's policy lets it in.

        Raises PackageError; SignatureError before anything of it is read.
        """
        from tritonpm.operations.import_policy import admitted
        from tritonpm.package import read

        with admitted(self.manager.workspace, source) as file, self.manager.progress(f"Reading {file.name}") as report:
            return read(file, staging, name=name, allow_code=allow_code, progress=lambda _, a, b: report(a, b))

    def exchange(self, name: str, source: Path, *, allow_code: bool = False) -> None:
        """Another content under the same name; the settings stay where the rules let them.

        Raises PackageError, RuleError, NotFoundError, BusyError while it is being optimised.
        """
        from tritonpm import settings as choices
        from tritonpm.hardware import target

        record = self.manager.catalogue.get(name)
        with self.manager.workspace.scratch("upgrade") as staging:
            package = self.read(source, staging, name=name, allow_code=allow_code)

            def place(file: File) -> Path:
                return staging / file.path

            axes = self.rendering.axes(package, place)
            first = choices.defaults(package, axes, "gpu" if target().gpus else "cpu")
            chosen = _inherited(record.settings, package, first)
            self.rendering.revision(package, chosen, axes, place)
            with self.manager.changing(f"upgrade {name}"):
                self.manager.require_idle(name)
                for file in package.files:
                    self.manager.blobs.put(staging / file.path, file.digest, move=True)
                self.manager.catalogue.replace(name, package, chosen, views.summary(package, chosen))

    def export(self, name: str, destination: Path, *, force: bool = False) -> Path:
        """Write a package as a .zip. Raises PackageError where the file exists."""
        from tritonpm.package import export

        package = self.manager.catalogue.get(name).package
        if destination.exists() and not force:
            raise PackageError(
                "it exists already", where=str(destination), do="choose another --output, or use --force"
            )

        def open_file(file: File) -> BinaryIO:
            return self.manager.blobs.path(file.digest).open("rb")

        with self.manager.progress(f"Writing {destination.name}"):
            aside = destination.with_name(f".{destination.name}.new")
            try:
                export(package, open_file, aside)
                aside.replace(destination)
            finally:
                aside.unlink(missing_ok=True)
        return destination

    def _require_machine(self, package: Package, settings: Settings, profile: str, *, ignore: bool) -> None:
        """Raise RequirementError where this machine lacks what the package needs; warnings go to the watcher."""
        from tritonpm.hardware.host import host
        from tritonpm.hardware.requirements import Wanted, require, unmet
        from tritonpm.repository.config import backend_of

        stages = [(stage, settings.for_stage(stage.name)) for stage in package.stages]
        wanted = Wanted(
            frozenset(own.device for _, own in stages),
            frozenset({own.optimizer for _, own in stages} | {backend_of(s, own) for s, own in stages if not s.config}),
            package.cascade,
            package.exporter.lower(),
            profile,
        )
        lacking = unmet(host(), wanted)
        for each in lacking:
            if each.level == "warning":
                self.manager.waiting(f"Warning: {each.sentence}; {each.do}.")
        if not ignore:
            require(lacking, package.name)

    def _adopted(self, package: Package, settings: Settings, place: Callable[[File], Path]) -> Settings:
        """The settings that an adopted folder's own config says."""
        from tritonpm.repository.adopt import settings_of
        from tritonpm.repository.config import parse
        from tritonpm.settings import changed

        for stage, text in self.rendering.configs(package, place).items():
            settings = changed(settings, settings_of(parse(text, f"{stage}/config.pbtxt")))
        return settings


def _inherited(settings: Settings, package: Package, first: Settings) -> Settings:
    """The settings of one content for another of the same name, as far as it has those stages."""
    known = {stage.name for stage in package.stages}
    stages = {stage: own for stage, own in settings.stages.items() if stage in known}
    return replace(settings, stages=stages or first.stages)

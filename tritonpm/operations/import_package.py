"""`tritonpm import`: a package is read, and refused or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.apart import Apart
from tritonpm.core.errors import PackageError
from tritonpm.core.scratch import temporary
from tritonpm.core.types import BatchAxis, Package
from tritonpm.operations.audit import audited
from tritonpm.operations.batch_axes import Place, batch_axes
from tritonpm.operations.cascades import as_cascade
from tritonpm.operations.chosen_settings import require_handed_in
from tritonpm.operations.converted import converted
from tritonpm.operations.local_repository import changing
from tritonpm.operations.members import require_no_circle
from tritonpm.operations.python_environments import with_environments
from tritonpm.operations.readable import foretold, require_readable
from tritonpm.operations.render import revision_of
from tritonpm.operations.show import PackageDetails, show
from tritonpm.operations.starting_settings import adopted
from tritonpm.operations.summary import summary

# Lint rules: the package may be renamed, its server have other backends, and an ensemble's members are other packages.
_OF_THE_PLACE = ("name", "backend", "ensemble-member")

if TYPE_CHECKING:
    from tritonpm.core.releases import Release
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


@audited("import", "source", "allow_code")
def import_package(
    context: Context,
    source: Path,
    *,
    name: str | None = None,
    allow_code: bool = False,
    changes: Mapping[str, object] | None = None,
    profile: str = "",
    ignore_requirements: bool = False,
    canary_of: str = "",
    again: bool = False,
    known: bool = False,
    tasks: Mapping[str, str] | None = None,
) -> PackageDetails:
    """Bring a package in: read, refuse or keep. `profile` is the site's, such as mech-vision.

    A canary begins with the settings of the package that it is of. `again`: the same content may be here under another
    name, as two models of one repository may be. `known`: that package is handed back as it is where it is
    here already.

    Raises PackageError, SignatureError, RuleError, NameTakenError, RequirementError, UsageError.
    """
    from tritonpm.package.tasks import with_tasks
    from tritonpm.settings import along

    catalogue = context.catalogue
    if name is not None and not known:
        catalogue.require_free(name)
    with context.workspace.scratch("import") as staging, Apart() as apart:
        read = read_package(context, source, staging, apart, name=name, allow_code=allow_code)
        package = as_cascade(context, with_tasks(read, tasks or {}), staging)
        there = catalogue.of_content(package.digest) if known else ()
        if there and name in (None, *there):
            return show(context, name or there[0])
        digest = "" if canary_of or again else package.digest
        _require_free(context, package, digest, canary_of)
        place = _lying_in(staging)
        chosen, axes, dropped = _settled(context, package, place, apart, changes or {}, canary_of)
        revision_of(context, package, chosen, axes, place)
        require_readable(context, package, chosen, place)
        _require_machine(context, package, chosen, profile, ignore=ignore_requirements)
        told = [f"{package.name}: {sentence}" for sentence in foretold(context, package, chosen, axes, place)]
        with changing(context, f"import {package.name}"):
            _require_free(context, package, digest, canary_of)
            for file in package.files:
                context.blobs.put(staging / file.path, file.digest, move=True)
            catalogue.add(package, chosen, summary(context, package, chosen, axes), canary_of=canary_of, again=again)
    for sentence in (*told, *([along(package.name, dropped)] if dropped else ())):
        context.warn(sentence)
    return show(context, package.name)


def _require_free(context: Context, package: Package, digest: str, canary_of: str) -> None:
    """Raises NameTakenError; of a canary also where it could never take the place of its package."""
    context.catalogue.require_free(package.name, digest)
    if canary_of:
        context.catalogue.require_content(canary_of, package.digest)


def _lying_in(folder: Path) -> Place:
    return lambda file: folder / file.path


def _settled(
    context: Context, package: Package, place: Place, apart: Apart, changes: Mapping[str, object], canary_of: str
) -> tuple[Settings, dict[str, BatchAxis], tuple[str, ...]]:
    """The settings that a new package gets, its batch axes as proved at these, and what gave way. Raises RuleError."""
    from tritonpm import settings as choices

    axes = batch_axes(context, package, place, apart)
    chosen = choices.defaults(package, axes, "gpu" if context.target.gpus else "cpu")
    if canary_of:
        chosen = inherited(context.catalogue.get(canary_of).settings, package, chosen, axes)
    first = adopted(package, chosen, place)
    chosen, dropped = choices.adjusted(package, first, changes, axes, context.target)
    proved, axes = axes, batch_axes(context, package, place, apart, settings=chosen)
    if axes != proved:
        chosen, dropped = choices.adjusted(package, first, changes, axes, context.target)
    require_handed_in(context, package.name, chosen, first)
    return chosen, axes, dropped


def read_package(
    context: Context, source: Path, staging: Path, apart: Apart, *, name: str | None = None, allow_code: bool = False
) -> Package:
    """What a source holds, its files in `staging`, once the workspace's policy lets it in; read in the process `apart`.

    Raises PackageError, also where an adopted model folder is none that Triton loads; SignatureError before anything
    of it is read; OptimisationError where what must be converted cannot be.
    """
    from tritonpm.operations.policy import admitted
    from tritonpm.package.apart import read_apart

    with (
        admitted(context, source) as admitted_file,
        converted(context, admitted_file, allow_code=allow_code) as file,
        temporary("read") as folder,  # a workspace may be read-only
        context.progress(f"Reading {file.name}") as report,
    ):
        package = read_apart(
            apart, file, staging, folder, name=name, allow_code=allow_code, progress=lambda _, a, b: report(a, b)
        )
    for stage in package.stages:
        if stage.config is not None:
            _require_members(context, package.name, staging / stage.config, str(source))
            require_loadable(staging / stage.config, str(source), context.release)
    return with_environments(context, package, staging) if allow_code else package


def _require_members(context: Context, name: str, config: Path, where: str) -> None:
    """Raise PackageError where an ensemble joins models that the workspace does not have, or itself."""
    from tritonpm.package.config import parse, steps

    joined = steps(parse(config.read_bytes(), where))
    require_no_circle(context, name, joined, f"{where}: {config.name}")
    known = {entry.name for entry in context.catalogue.packages()}
    if absent := [member for member in joined if member not in known]:
        raise PackageError(
            f"is an ensemble whose members {', '.join(absent)} are not packages here",
            where=f"{where}: {config.name}",
            do="import them first, or adopt the whole repository: `tritonpm adopt`",
        )


def require_loadable(config: Path, where: str, release: Release) -> None:
    """Raise PackageError where that release would not load the folder of this config, whatever name it gets here."""
    from tritonpm.operations.lint import reader
    from tritonpm.repository.lint import lint_model

    for finding in lint_model(config.parent, reader(config.parent), (release,)):
        if finding.level == "error" and finding.rule not in _OF_THE_PLACE:
            line = f", line {finding.line}" if finding.line else ""
            raise PackageError(
                finding.sentence, where=f"{where}: {config.name}{line}", do="correct it; `tritonpm lint` lists all"
            )


def inherited(settings: Settings, package: Package, first: Settings, axes: Mapping[str, BatchAxis]) -> Settings:
    """The settings of one content for another of the same name, as far as it has those stages.

    What rests on a proof that this content lacks does not come along.
    """
    from tritonpm.settings import unjoined

    known = {stage.name for stage in package.stages}
    stages = {stage: own for stage, own in settings.stages.items() if stage in known}
    return unjoined(package, replace(settings, stages=stages or first.stages), axes)


def _require_machine(context: Context, package: Package, settings: Settings, profile: str, *, ignore: bool) -> None:
    """Raise RequirementError where this machine lacks what the package needs; warnings are told."""
    from tritonpm.hardware.host import host
    from tritonpm.hardware.requirements import PackageNeeds, require, unmet
    from tritonpm.repository.config import served_by

    stages = [(stage, settings.for_stage(stage.name)) for stage in package.stages]
    wanted = PackageNeeds(
        frozenset(own.device for _, own in stages),
        frozenset({own.optimizer for _, own in stages} | {served_by(s, own) for s, own in stages if not s.config}),
        package.cascade,
        package.exporter.lower(),
        profile,
    )
    lacking = unmet(host(), wanted)
    for requirement in lacking:
        if requirement.level == "warning":
            context.warn(f"Warning: {requirement.sentence}; {requirement.do}.")
    if not ignore:
        require(lacking, package.name)

"""Views as a client may see them: reasons without this machine's folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tritonpm.operations.artefacts import OptimisationView
from tritonpm.operations.list import PackageView
from tritonpm.operations.optimize.jobs import JobView
from tritonpm.operations.show import PackageDetails
from tritonpm.operations.status import StatusView
from tritonpm.web.problems import shown

V = TypeVar("V", PackageView, PackageDetails)


def package_shown(view: V, root: Path) -> V:
    """A row of the list."""
    return replace(view, reason=shown(view.reason, root), drift=shown(view.drift, root))


def details_shown(view: PackageDetails, root: Path) -> PackageDetails:
    """All of one package."""
    notes = tuple(shown(note, root) for note in view.notes)
    optimisations = tuple(_optimisation(artefact, root) for artefact in view.optimisations)
    comparison = tuple(shown(sentence, root) for sentence in view.comparison)
    return replace(package_shown(view, root), notes=notes, optimisations=optimisations, comparison=comparison)


def _optimisation(view: OptimisationView, root: Path) -> OptimisationView:
    notes = tuple(shown(note, root) for note in view.notes)
    return replace(view, reason=shown(view.reason, root), notes=notes)


def job_shown(view: JobView, root: Path) -> JobView:
    """A job."""
    comparison = tuple(shown(sentence, root) for sentence in view.comparison)
    return replace(view, reason=shown(view.reason, root), comparison=comparison)


def status_shown(view: StatusView, root: Path) -> StatusView:
    """The server beside the workspace."""
    models = tuple(replace(model, reason=shown(model.reason, root)) for model in view.models)
    return replace(view, models=models, drift=tuple(shown(sentence, root) for sentence in view.drift))

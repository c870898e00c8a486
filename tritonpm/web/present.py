"""Views as a client may see them: reasons without this machine's folders, in the client's language."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tritonpm.operations.artefacts import OptimisationView
from tritonpm.operations.audit import AuditView
from tritonpm.operations.canary_comparison import CanaryComparison
from tritonpm.operations.list import PackageView
from tritonpm.operations.optimize.jobs import JobView
from tritonpm.operations.optimize.precisions import PrecisionView
from tritonpm.operations.show import PackageDetails
from tritonpm.operations.status import StatusView
from tritonpm.web.callers import named
from tritonpm.web.language import ENGLISH, Language
from tritonpm.web.problems import shown
from tritonpm.web.wording import in_page_words

V = TypeVar("V", PackageView, PackageDetails)


def package_shown(view: V, root: Path, say: Language = ENGLISH) -> V:
    """A row of the list."""
    return replace(view, reason=_told(view.reason, root, say), drift=_told(view.drift, root, say))


def details_shown(view: PackageDetails, root: Path, say: Language = ENGLISH) -> PackageDetails:
    """All of one package."""
    optimisations = tuple(_optimisation(artefact, root, say) for artefact in view.optimisations)
    stages = tuple(replace(stage, batch_reason=say.told(stage.batch_reason)) for stage in view.stages_in_detail)
    return replace(
        package_shown(view, root, say), notes=_all(view.notes, root, say), optimisations=optimisations,
        comparison=_all(view.comparison, root, say), stages_in_detail=stages,
    )  # fmt: skip


def _optimisation(view: OptimisationView, root: Path, say: Language) -> OptimisationView:
    agreement = replace(view.agreement, inputs=say.told(view.agreement.inputs))
    reason, notes = _told(view.reason, root, say), _all(view.notes, root, say)
    return replace(view, reason=reason, notes=notes, agreement=agreement)


def job_shown(view: JobView, root: Path, say: Language = ENGLISH) -> JobView:
    """A job."""
    reason, comparison = _told(view.reason, root, say), _all(view.comparison, root, say)
    return replace(view, step=say.told(view.step), reason=reason, comparison=comparison)


def precision_shown(view: PrecisionView, root: Path, say: Language = ENGLISH) -> PrecisionView:
    """A precision of a package."""
    return replace(view, why=_told(view.why, root, say))


def comparison_shown(view: CanaryComparison, root: Path, say: Language = ENGLISH) -> CanaryComparison:
    """A canary beside its package."""
    answers = tuple(replace(answer, error=_told(answer.error, root, say)) for answer in view.answers)
    return replace(view, answers=answers)


def status_shown(view: StatusView, root: Path, say: Language = ENGLISH) -> StatusView:
    """The server beside the workspace."""
    models = tuple(replace(model, reason=_told(model.reason, root, say)) for model in view.models)
    return replace(view, models=models, drift=_all(view.drift, root, say), advice=_all(view.advice, root, say))


def audit_shown(view: AuditView, root: Path, say: Language = ENGLISH) -> AuditView:
    """What somebody did; nothing of it is a file of this machine's."""
    return replace(view, who=named(view.who, say), reason=_told(view.reason, root, say))


def _told(text: str, root: Path, say: Language) -> str:
    return in_page_words(say.told(shown(text, root)), say)


def _all(texts: tuple[str, ...], root: Path, say: Language) -> tuple[str, ...]:
    return tuple(_told(text, root, say) for text in texts)

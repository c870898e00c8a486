"""What an optimisation or a conversion came to, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tritonpm.cli.output import echo
from tritonpm.core.units import human

if TYPE_CHECKING:
    from tritonpm.operations.artefacts import OptimisationView
    from tritonpm.operations.optimize.convert_file import ConversionView
    from tritonpm.operations.optimize.decision import Decision
    from tritonpm.operations.show import PackageDetails


def describe_optimised(view: PackageDetails, decision: Decision | None, *, fresh: bool) -> None:
    """Print what an optimisation came to, and what was gained and lost."""
    kept = decision is not None and decision.stays
    echo(f"{'Kept' if kept else 'Optimised' if fresh else 'Nothing to do for'} {view.name}{' as it was' * kept}.")
    if view.optimisations:
        optimisations(view.optimisations)
    for sentence in decision.sentences if decision else ():
        echo(f"Compared: {sentence}.")
    for made in view.optimisations:
        for note in made.notes:
            echo(f"Note: stage {made.stage}: {note}.")


def optimisations(listed: tuple[OptimisationView, ...]) -> None:
    """Print how stages were optimised, and what the proof measured."""
    from tritonpm.cli.output import table

    columns = ("STAGE", "OPTIMIZER", "PRECISION", "STATE", "MAX ABS", "MAX REL", "COSINE", "TOP-1", "BOXES", "ON")
    table(columns, ((m.stage, m.optimizer, m.precision, m.state, *_measures(m.agreement)) for m in listed))
    for made in listed:
        if made.reason:
            echo(f"Stage {made.stage} is {made.state}: {made.reason}.")


def _measures(agreement: Any) -> tuple[str, ...]:
    outputs = agreement.outputs
    worst = ("", "", "")
    if outputs:
        worst = (
            f"{max(o.max_abs for o in outputs):.2g}",
            f"{max(o.max_rel for o in outputs):.2g}",
            f"{min(o.cosine for o in outputs):.6f}",
        )
    shares = ("" if share is None else f"{share:.2%}" for share in (agreement.top1, agreement.boxes))
    return (*worst, *shares, agreement.inputs)


def describe_conversion(view: ConversionView) -> None:
    """Print what a conversion made."""
    from tritonpm.cli.output import facts

    echo(f"Wrote {view.model} ({view.format}, {view.precision}, {human(view.bytes)}).")
    state = f"{view.agreement.state} ({view.agreement.reason})" if view.agreement.reason else view.agreement.state
    names = ("max abs", "max rel", "cosine", "top-1", "boxes", "compared on")
    measured = zip(names, _measures(view.agreement), strict=True)
    facts((("answers", state), *((name, value) for name, value in measured if value)))

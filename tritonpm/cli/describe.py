"""A package in words, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tritonpm.cli.output import echo, facts, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tritonpm.core.types import Shape, Tensor
    from tritonpm.operations.inspect import Inspection
    from tritonpm.operations.show import PackageDetails, StageView


def describe_package(view: PackageDetails) -> None:
    """Print everything that `show` knows."""
    pending = view.pending and not view.drift
    facts(
        (
            ("name", view.name),
            ("type", view.type),
            ("version", view.version),
            ("exporter", view.exporter),
            *([("license", view.license)] if view.license else []),
            *([("model card", view.model_card)] if view.model_card else []),
            ("status", f"{view.status}: {view.reason}" if view.reason else view.status),
            ("mode", f"{view.mode}, {view.instances} instance{'s' * (view.instances != 1)}"),
            ("device", view.device),
            ("max batch size", view.max_batch_size or "0: Triton does not combine requests"),
            ("precision", view.precision),
            ("used by", ", ".join(view.used_by) or "nobody"),
            ("revision", f"{view.revision or 'none yet'}{' (settings have changed since)' if pending else ''}"),
            ("digest", view.digest),
        )
    )
    if view.drift:
        echo(f"\nDrift: {view.name}: {view.drift}.")
    echo()
    _stages(view.stages_in_detail)
    _meaning(view.stages_in_detail)
    _verdict(view.verdict)
    _own_settings(view.stages_in_detail)
    if view.optimisations:
        from tritonpm.cli.optimise_output import optimisations

        echo()
        optimisations(view.optimisations)
    if view.comparison:
        echo()
    for sentence in view.comparison:
        echo(f"Compared: {sentence}.")
    for note in view.notes:
        echo(f"\nNote: {note}")


def _meaning(stages: Iterable[StageView]) -> None:
    """What the tensors mean, as far as anybody said it."""
    rows = [
        (
            stage.name,
            field.name,
            in_words(field.value),
            f"inferred: {field.said_by}" if field.inferred else field.said_by,
        )
        for stage in stages
        for field in stage.meaning
    ]
    if rows:
        echo()
        table(("STAGE", "MEANING", "VALUE", "SAID BY"), rows)


def _own_settings(stages: Iterable[StageView]) -> None:
    """What single stages have of their own, over the package's settings."""
    rows = [(stage.name, name, value) for stage in stages for name, value in sorted(stage.settings.items())]
    if rows:
        echo()
        table(("STAGE", "ITS OWN", "VALUE"), [(stage, name, in_words(value)) for stage, name, value in rows])


def in_words(value: object) -> str:
    """A setting's value for a person."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no", None: "the usual", "": "the usual"}.get(value, str(value))  # type: ignore[call-overload,no-any-return]


def describe_stages(inspection: Inspection) -> None:
    """Print what `inspect` inspection."""
    facts(
        (
            ("name", inspection.name),
            ("type", inspection.type),
            ("version", inspection.version),
            ("digest", inspection.digest),
        )
    )
    echo()
    _stages(inspection.stages)
    _meaning(inspection.stages)
    _verdict(inspection.verdict)
    _own_settings(inspection.stages)
    for note in inspection.notes:
        echo(f"Note: {note}")


def _verdict(conditions: Mapping[str, Mapping[str, object]]) -> None:
    """What must hold for OK."""
    rows = [(name, part, in_words(value)) for name, said in conditions.items() for part, value in said.items()]
    if rows:
        echo()
        table(("OK WHERE", "", "VALUE"), rows)


def _stages(stages: Iterable[StageView]) -> None:
    rows = []
    for stage in stages:
        heading = f"{stage.name} ({stage.task}, {stage.format})"
        for kind, tensors in (("input", stage.inputs), ("output", stage.outputs)):
            for tensor in tensors:
                rows.append((heading, kind, *_tensor(tensor), stage.batch_axis if heading else ""))
                heading = ""
    table(("STAGE", "", "TENSOR", "TYPE", "SHAPE", "LAYOUT", "BATCH AXIS"), rows)


def _tensor(tensor: Tensor) -> tuple[str, str, str, str]:
    return tensor.name + (" (optional)" if tensor.optional else ""), tensor.dtype, shape(tensor.shape), tensor.layout


def shape(value: Shape | None) -> str:
    """A shape for a person: `batch x 3 x 224 x 224`."""
    return "any" if value is None else " x ".join(str(d) for d in value) or "scalar"

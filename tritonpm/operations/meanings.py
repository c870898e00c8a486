"""What is known of a package's tensors as a whole, with the settings in force."""

from __future__ import annotations

from tritonpm.core.types import Package
from tritonpm.meaning.stages import Meaning, of_stage
from tritonpm.settings.settings import Settings


def meaning_of(package: Package, settings: Settings) -> Meaning:
    """Its input as its first stage takes it, and its answer as its last gives it. Raises ValueError: see `of_stage`."""
    first, last = (
        of_stage(stage, preprocess=own.preprocess, decode=own.decode)
        for stage in (package.stages[0], package.stages[-1])
        for own in (settings.for_stage(stage.name),)
    )
    return Meaning(first.preprocess, last.decode, last.labels, {**first.said, **last.said})

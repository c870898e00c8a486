"""A cascade as one function: the stages in series, run where their models run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tritonpm.convert.running import Run
from tritonpm.core.tensors import Array

Seen = Callable[[str, Mapping[str, Array]], None]


@dataclass(frozen=True)
class Link:
    """A stage's place in a cascade: whence each input comes, as (tensor, stage or "" for the outside, its tensor)."""

    stage: str
    inputs: tuple[tuple[str, str, str], ...]


def chain(
    links: Sequence[Link],
    runs: Mapping[str, Run],
    outputs: Sequence[tuple[str, str, str]],
    seen: Seen = lambda stage, inputs: None,
) -> Run:
    """The cascade; `outputs` are (public name, stage, tensor), `seen` hears every stage's inputs."""

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        known: dict[tuple[str, str], Array] = {("", name): array for name, array in inputs.items()}
        for link in links:
            own = {tensor: known[stage, source] for tensor, stage, source in link.inputs if (stage, source) in known}
            seen(link.stage, own)
            for name, array in runs[link.stage](own).items():
                known[link.stage, name] = array
        return {public: known[stage, tensor] for public, stage, tensor in outputs}

    return run

"""What a conversion is compared on: the samples, then made-up inputs of several kinds, sizes and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from tritonpm.convert.graph_values import GraphValues
from tritonpm.convert.inputs import BRIGHT, KNOWN, LARGE, ORDINARY, SIGNED, Clock, Kind, Maker, NoInputsError, Row
from tritonpm.convert.running import Run
from tritonpm.core.tensors import Array
from tritonpm.core.types import Tensor, Values
from tritonpm.core.units import number_of

# Made-up values that a precision is held to; None: all. What a lower one cannot hold is no fault of a conversion.
_HELD_TO: Mapping[str, tuple[Kind, ...] | None] = {
    "FP32": None, "FP16": (ORDINARY, BRIGHT, SIGNED, KNOWN), "INT8": (ORDINARY,),
}  # fmt: skip
_MORE = 3  # of ordinary inputs, and of what a kind may miss by chance


@dataclass(frozen=True)
class Trial:
    """One input and what it is; `usual`: a conversion that answers otherwise is wrong, else it is not verified."""

    what: str
    arrays: Mapping[str, Array]
    usual: bool = True
    sample: bool = False


@dataclass(frozen=True)
class Knowledge:
    """What is known of a model's inputs: its tensors, the values that the manifest says, what its graph knows."""

    tensors: Sequence[Tensor]
    said: Mapping[str, Values]
    graph: GraphValues


def trials(
    original: Run, ground: Knowledge, samples: Sequence[Mapping[str, Array]], *, batches: Sequence[int], precision: str,
    sizes: Sequence[int] = (), clock: Clock | None = None,
) -> Iterator[Trial]:  # fmt: skip
    """One after the other; the original is asked what it takes.

    `batches` are empty where the model has no batch axis; `sizes` are what its other dynamic dimensions are tried at,
    those at both ends where none are given. A lower precision is held to the samples' range, where there are samples.
    """
    yield from _sampled(samples, batches)
    kinds = _HELD_TO[precision]
    if samples and kinds is not None:
        return
    batch, tensors = 1 if batches else None, tuple(ground.tensors)
    if samples:
        shapes = {name: array.shape for name, array in samples[0].items()}
        tensors = tuple(
            replace(t, shape=shapes[t.name] if batch is None else (t.shape or (1,))[:1] + shapes[t.name][1:])
            for t in tensors if t.name in shapes
        )  # fmt: skip
    try:
        maker = Maker.learned(original, tensors, ground.said, ground.graph, batch=batch, clock=clock)
    except NoInputsError:
        if not samples:
            yield Trial("made-up inputs", Maker(tensors, ground.said).make(ORDINARY, batch=batch, seed=0))
        return
    yield from _made_up(maker, batch, batches, [kind for kind in maker.kinds() if kinds is None or kind in kinds])
    dynamic = any(isinstance(size, str) for t in tensors for size in (t.shape or ())[1 if batches else 0 :])
    for size in sizes or ((1, 2 * maker.size + 3) if dynamic and not samples and maker.size <= _LARGEST_OPEN else ()):
        yield Trial(f"dynamic dimensions of {size}", maker.make(ORDINARY, batch=batch, seed=0, size=size))


_LARGEST_OPEN = 64  # beyond which a size is an image's


def _made_up(maker: Maker, batch: int | None, batches: Sequence[int], kinds: Sequence[Kind]) -> Iterator[Trial]:
    usual = [kind for kind in kinds if kind.usual]
    for kind in kinds:
        for seed in range(_MORE if kind in (ORDINARY, LARGE) else 1):
            yield Trial(f"made-up inputs ({kind.name})", maker.make(kind, batch=batch, seed=seed), kind.usual)
        if not kind.usual and len(maker.tensors) > 1:  # what all take at once may be less than what each takes
            for tensor in maker.tensors:
                own = maker.make(kind, batch=batch, seed=1, only=tensor.name)
                yield Trial(f"made-up inputs ({kind.name})", own, usual=False)
    for count in batches:
        if count > 1:
            rows = list(islice((row for kind, row in maker.rows(batch=1, usual=True) if kind in usual), min(count, 16)))
            yield Trial(f"batch {count}", _stacked(rows, count))


def _sampled(samples: Sequence[Mapping[str, Array]], batches: Sequence[int]) -> Iterator[Trial]:
    for sample in samples:
        yield Trial(number_of(len(samples), "sample"), sample, sample=True)
    for batch in batches if samples else ():
        if joined := _joined(samples, batch):
            yield Trial(f"batch {batch} of them", joined, sample=True)


def _stacked(rows: Sequence[Row], count: int) -> Row:
    return {name: np.concatenate([rows[index % len(rows)][name] for index in range(count)]) for name in rows[0]}


def _joined(samples: Sequence[Mapping[str, Array]], batch: int) -> Row | None:
    """`batch` rows of the samples, repeated where they are too few; None where they do not stack."""
    try:
        rows = {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
        return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in rows.items()}
    except (ValueError, KeyError):
        return None

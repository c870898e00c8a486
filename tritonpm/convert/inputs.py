"""What proofs are tried on: values of several kinds, every row another one, within what the original takes.

What the package says of an input's values (a range, a vocabulary) holds; else the original is asked: whole numbers go
up as far as it answers them. *Usual* kinds are what models are made for. The others are the rest of the type: what a
conversion answers otherwise there does not make it wrong, but it is not verified either.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tritonpm.convert.graph_values import GraphValues
from tritonpm.convert.running import Run, RunFailedError
from tritonpm.core.tensors import SIZES, Array, between, numpy_dtype, sized
from tritonpm.core.types import Tensor, Values

Row = dict[str, Array]  # inputs with a first dimension of 1, or as the model has it
Random = np.random.Generator

_BOUNDS = (9, 127, 255, 999, 29_999)  # up to which whole numbers are tried, one after the other
_DEAR, _MORE = 0.3, 10.0  # seconds of a run, and times the first one's: by then its time hangs on the number
_ONES = 1  # up to which they go where the original takes no more
_WORDS = (
    "a",
    "part",
    "ok",
    "NG",
    "scratch on the left edge",
    "Öse",
    "42",
    "the quick brown fox jumps over it",
    "x y z",
)
_MOST_ELEMENTS = 1 << 26  # of a made-up input


@dataclass(frozen=True)
class Kind:
    """A kind of values; `usual` is what models are made for."""

    name: str
    usual: bool = True


ORDINARY, BRIGHT, SIGNED = Kind("ordinary"), Kind("bright"), Kind("signed")
KNOWN, BYTES, ZERO = Kind("known to the graph"), Kind("0 to 255"), Kind("zero")
MISSING, NEGATIVE = Kind("missing"), Kind("negative", usual=False)
LARGE, HUGE, TINY = Kind("large", usual=False), Kind("beyond 2^53", usual=False), Kind("subnormal", usual=False)
KINDS = (ORDINARY, BRIGHT, SIGNED, KNOWN, BYTES, ZERO, MISSING, NEGATIVE, LARGE, HUGE, TINY)


class NoInputsError(Exception):
    """No inputs were found that the model accepts."""


class Clock:
    """How long a proof may go on adding inputs, in its own seconds: what else runs here decides nothing."""

    def __init__(self, seconds: float) -> None:
        self._began = time.process_time()
        self._end = self._began + seconds

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.process_time() - self._began

    @property
    def over(self) -> bool:
        """Whether that time is used."""
        return time.process_time() > self._end


@dataclass
class Maker:
    """Makes inputs for one model. `bounds` is what whole numbers go up to, by input; `size` what dynamic sizes are."""

    tensors: Sequence[Tensor]
    said: Mapping[str, Values] = field(default_factory=dict)
    graph: GraphValues = field(default_factory=GraphValues)
    size: int = SIZES[0]
    bounds: dict[str, int] = field(default_factory=dict)
    numeric: bool = False  # texts are numbers: nothing else is taken
    costly: set[str] = field(default_factory=set)  # whole numbers by which it takes ever longer: steps, sizes

    @classmethod
    def learned(
        cls, run: Run, tensors: Sequence[Tensor], said: Mapping[str, Values], graph: GraphValues, *, batch: int | None,
        clock: Clock | None = None,
    ) -> Maker:  # fmt: skip
        """One that knows what the model takes. Raises NoInputsError."""
        maker, failure, tried = cls(tensors, said, graph), "it has no inputs", set[int]()
        for size, numeric in ((size, numeric) for size in SIZES for numeric in (False, True)):
            elements = sum(int(np.prod(shape)) for shape in sized(tensors, batch=batch, size=size).values())
            texts = any(tensor.dtype == "BYTES" for tensor in tensors)
            if (numeric and not texts) or (not numeric and elements in tried) or (tried and elements > _MOST_ELEMENTS):
                continue
            tried.add(elements)
            maker.size, maker.numeric = size, numeric
            reason = _refusal(run, maker.make(ORDINARY, batch=batch, seed=0))
            if not reason:
                maker._reach(run, batch, clock)
                return maker
            failure = reason
        raise NoInputsError(f"it does not run with made-up inputs ({failure})")

    def _reach(self, run: Run, batch: int | None, clock: Clock | None) -> None:
        """How far up whole numbers may go, input by input."""
        whole = [t for t in self.tensors if numpy_dtype(t.dtype).kind in "iu" and not t.optional]
        asked = [tensor for tensor in whole if tensor.name not in self.said]
        if not asked:
            return
        began = time.process_time()
        _refusal(run, self.make(ORDINARY, batch=batch, seed=0))
        usual = time.process_time() - began
        for tensor in asked:
            kind = numpy_dtype(tensor.dtype)
            for bound in (bound for bound in _BOUNDS if bound <= np.iinfo(kind).max):
                if clock and clock.over:
                    return
                before = self.bounds.get(tensor.name, _ONES)
                self.bounds[tensor.name] = bound
                row = self.make(ORDINARY, batch=batch, seed=0)
                row[tensor.name].flat[:1] = bound
                began = time.process_time()
                refused, seconds = _refusal(run, row), time.process_time() - began
                if seconds > max(_DEAR, _MORE * usual):
                    self.costly.add(tensor.name)
                if refused or tensor.name in self.costly:
                    self.bounds[tensor.name] = before
                    break

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that say something about these inputs."""
        return tuple(
            kind for kind in KINDS if any(_has(self, tensor, kind) for tensor in self.tensors if not tensor.optional)
        )

    def make(self, kind: Kind, *, batch: int | None, seed: int, size: int | None = None, only: str = "") -> Row:
        """Inputs of one kind, of `batch` rows each; `only` one input, the others ordinary."""
        shapes = sized(self.tensors, batch=batch, size=size or self.size)
        row = {}
        for number, tensor in enumerate(tensor for tensor in self.tensors if tensor.name in shapes):
            random = np.random.default_rng((seed, KINDS.index(kind), number))
            own = kind if _has(self, tensor, kind) and only in ("", tensor.name) else ORDINARY
            row[tensor.name] = _values(self, tensor, own, random, shapes[tensor.name])
        return row

    def rows(self, *, batch: int | None, usual: bool = False, size: int | None = None) -> Iterator[tuple[Kind, Row]]:
        """Row after row without an end, another kind each; only the `usual` ones where that is asked for."""
        kinds = [kind for kind in self.kinds() if kind.usual or not usual]
        for seed in range(1 << 30):
            for kind in kinds:
                if seed and kind in (ZERO,):  # there is but one
                    continue
                yield kind, self.make(kind, batch=batch, seed=seed, size=size)


def digest(inputs: Sequence[Mapping[str, Array]]) -> str:
    """Of the inputs that were tried, in order."""
    total = hashlib.sha256()
    for arrays in inputs:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            total.update(f"{name} {array.dtype} {array.shape}".encode())
            total.update(repr(array.tolist()).encode() if array.dtype == np.object_ else array.tobytes())
    return f"sha256:{total.hexdigest()}"


def _refusal(run: Run, row: Row) -> str:
    try:
        run(row)
    except RunFailedError as error:
        return str(error) or "it refuses them"
    return ""


def _has(maker: Maker, tensor: Tensor, kind: Kind) -> bool:
    """Whether this kind of values is another than the ordinary one for an input."""
    family = numpy_dtype(tensor.dtype).kind
    if kind is ORDINARY or (kind is KNOWN and (maker.graph.texts if family == "O" else maker.graph.numbers)):
        return kind is ORDINARY or family in "OfiuV"
    if tensor.name in maker.said or family in "bO":
        return False
    if family in "fV":
        allowed = {BRIGHT, SIGNED, BYTES, ZERO, LARGE, TINY, *((MISSING,) if maker.graph.missing else ())}
        if tensor.dtype == "FP64":
            allowed.add(HUGE)
        return kind in allowed - ({LARGE, TINY} if tensor.dtype in ("FP16", "BF16") else set())
    if tensor.name in maker.costly and not kind.usual:
        return False
    wide = np.iinfo(numpy_dtype(tensor.dtype))
    if kind is NEGATIVE:
        return wide.min < 0
    if kind is LARGE:
        return wide.max > maker.bounds.get(tensor.name, _ONES)
    return kind is HUGE and wide.bits == 64


def _values(maker: Maker, tensor: Tensor, kind: Kind, random: Random, shape: tuple[int, ...]) -> Array:
    own = numpy_dtype(tensor.dtype)
    if own.kind == "O":
        return _texts(maker, tensor, kind, random, shape)
    if own.kind == "b":
        return np.asarray(random.random(shape) < 0.5)
    said = maker.said.get(tensor.name)
    if said and said.low is not None and said.high is not None:
        return between(random, tensor.dtype, shape, said.low, said.high)
    if kind is KNOWN:
        return _near(random, own, shape, maker.graph.numbers)
    if own.kind in "fV":
        return np.asarray(_FLOATS[kind](random, shape)).astype(own)
    return _whole(random, own, shape, kind, maker.bounds.get(tensor.name, _ONES))


def _near(random: Random, own: Any, shape: tuple[int, ...], numbers: Sequence[float]) -> Array:
    """On, just beside and well beside the numbers that the graph knows."""
    chosen = np.asarray(random.choice(np.asarray(numbers), shape))
    away = np.asarray(random.choice([0.0, 0.0, 1.0, -1.0, 0.5], shape))
    if own.kind in "fV":
        return np.asarray(chosen + away * (1 + 0.1 * np.abs(chosen))).astype(own)
    limits = np.iinfo(own)
    return np.asarray(np.clip(np.floor(chosen + away), float(limits.min) / 2, float(limits.max) / 2)).astype(own)


def _whole(random: Random, own: Any, shape: tuple[int, ...], kind: Kind, bound: int) -> Array:
    limits = np.iinfo(own)
    if kind is NEGATIVE:
        return np.asarray(random.integers(max(limits.min, -bound), bound, shape, own, endpoint=True))
    if kind is LARGE:
        top = min(int(limits.max), 1 << 40)
        return np.asarray(
            random.integers(max(int(limits.min), -top if limits.min else 0), top, shape, own, endpoint=True)
        )
    if kind is HUGE:
        return np.asarray(random.integers(1 << 54, 1 << 62, shape, own, endpoint=True))
    return np.asarray(random.integers(0, min(bound, int(limits.max)), shape, own, endpoint=True))


def _texts(maker: Maker, tensor: Tensor, kind: Kind, random: Random, shape: tuple[int, ...]) -> Array:
    """Texts of different lengths, no two rows alike; of the vocabulary where there is one."""
    count, said = int(np.prod(shape)), maker.said.get(tensor.name)
    words = said.texts if said and said.texts else maker.graph.texts if kind is KNOWN else ()
    if words:
        texts = [str(word) for word in random.choice(np.asarray(words, dtype=np.object_), count)]
    elif maker.numeric:
        texts = [f"{value:.3f}" for value in 100 * random.random(count) - 50]
    else:
        texts = [" ".join(random.choice(_WORDS, random.integers(1, 9))) for _ in range(count)]
        texts = [f"{text} {number}" for text, number in zip(texts, random.integers(0, 1 << 20, count), strict=True)]
    return np.array([text.encode() for text in texts], dtype=np.object_).reshape(shape)


def _bright(random: Random, shape: tuple[int, ...]) -> Array:
    """A dark ground, and on it something bright, elsewhere in each row: what detectors look for."""
    image = np.asarray(0.2 * random.random(shape))
    if not image.size:
        return image
    rows = image.reshape(shape[0], -1) if len(shape) > 1 and shape[0] else image.reshape(1, -1)
    axes = sorted(range(1, len(shape)), key=lambda axis: (shape[axis], axis))[-2:] if len(shape) > 1 else []
    for row in range(len(rows)):
        place: list[slice | int] = [slice(None)] * len(shape)
        if len(shape) > 1:
            place[0] = row
        for axis in axes:
            length = max(1, int(shape[axis] * random.uniform(0.3, 0.6)))
            start = int(random.integers(0, shape[axis] - length + 1))
            place[axis] = slice(start, start + length)
        image[tuple(place)] = random.uniform(0.9, 1.0)
    return image


def _large(random: Random, shape: tuple[int, ...]) -> Array:
    """Half of them just beyond what 32 bits hold, of either sign."""
    exponents = np.where(random.random(shape) < 0.5, random.uniform(9.4, 10, shape), random.uniform(1, 9, shape))
    return np.asarray(random.choice([-1.0, 1.0], shape) * 10**exponents)


def _tiny(random: Random, shape: tuple[int, ...]) -> Array:
    """Among ordinary values, so that they only matter where the model makes something of them."""
    return np.where(random.random(shape) < 0.5, 1e-40 * (1 + random.random(shape)), random.random(shape))


def _missing(random: Random, shape: tuple[int, ...]) -> Array:
    return np.where(random.random(shape) < 0.3, np.nan, 3 * random.standard_normal(shape))


_FLOATS: Mapping[Kind, Callable[[Random, tuple[int, ...]], Array]] = {
    ORDINARY: lambda random, shape: np.asarray(random.random(shape)),
    BRIGHT: _bright,
    SIGNED: lambda random, shape: np.asarray(3 * random.standard_normal(shape)),
    BYTES: lambda random, shape: np.asarray(random.integers(0, 256, shape).astype(np.float64)),
    ZERO: lambda random, shape: np.zeros(shape),
    MISSING: _missing,
    LARGE: _large,
    HUGE: lambda random, shape: np.asarray(random.choice([-1.0, 1.0], shape) * 10 ** random.uniform(39, 150, shape)),
    TINY: _tiny,
}

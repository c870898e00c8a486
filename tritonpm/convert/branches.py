"""What a graph may do that no input showed: conditions that never turned, and what a whole batch makes together.

A value that is as large for one row as for many, and is computed from what the inputs hold, is shared by the rows of a
batch. Where it goes back into them, each row's answer may hang on the others, though none that was tried did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert import runtimes
from tritonpm.convert.data_flow import DataFlow
from tritonpm.convert.running import NotRunnableError, RunFailedError
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format

_EXCHANGES = 3  # rows that are exchanged for others, to see what hangs on them
_SIZES = "sizes of "  # before the name of a tensor: another tensor, which holds its shape

Row = Mapping[str, Array]


def unseen(format: Format, model: Path, rows: Sequence[Row], largest: int) -> tuple[str, ...]:
    """What these rows, alone and in batches, did not show of it: a sentence each."""
    if format is not Format.ONNX:
        return ()
    asked = _AskedInside.of(model)
    flow = DataFlow.of(asked.graph)
    shared, mixed = _shared(asked, flow, rows, largest)
    continuous, back = flow.continuous(shared), flow.brought_back(shared, mixed)
    mixing = [name for name in back if name in continuous]
    jumping = [name for name in back if name not in (*continuous, *flow.conditions)]
    conditions = dict.fromkeys((*flow.conditions, *flow.compared_after(jumping)))
    turned: dict[str, _Turned] = {}
    if conditions or jumping:
        for answer in asked.answers([*conditions, *jumping], _batches(rows, largest)):
            for name, array in answer.items():
                turned.setdefault(name, _Turned(array)).add(array)
            if turned and all(
                values.both if name in conditions else values.everywhere for name, values in turned.items()
            ):
                break
    one, same = "which a whole batch shares", "was the same for every input that was tried"
    return (
        *(f"its condition {name!r} {same}" for name in conditions if name in turned and not turned[name].both),
        *(f"{name!r}, {one}, {same}" for name in jumping
          if name in turned and name not in conditions and not turned[name].everywhere),
        *(f"{name!r}, {one}, goes into each row's answer and made no difference" for name in mixing),
    )  # fmt: skip


@dataclass
class _Turned:
    """What was seen of a tensor: where it `varied`, and which `truths` it held."""

    first: Array
    varied: Array = field(default_factory=lambda: np.array(False))
    truths: set[bool] = field(default_factory=set)

    def add(self, array: Array) -> None:
        """Once more."""
        self.truths.update(bool(value) for value in np.unique(array))
        self.varied = self.varied | (_changed(self.first, array) if array.shape == self.first.shape else np.array(True))

    @property
    def both(self) -> bool:
        """Whether it was true and false."""
        return len(self.truths) > 1

    @property
    def everywhere(self) -> bool:
        """Whether it was another one; a mask, in each of its places."""
        return bool(self.varied.all() if self.first.dtype.kind == "b" else self.varied.any())


def _batches(rows: Sequence[Row], largest: int) -> Iterator[Row]:
    """Each row alone and as a batch of nothing else, then all of them mixed."""
    for row in rows:
        yield row
        yield _repeated(row, largest)
    yield {name: np.concatenate([rows[i % len(rows)][name] for i in range(largest)]) for name in rows[0]}


def _repeated(row: Row, count: int) -> Row:
    return {name: np.repeat(array, count, axis=0) for name, array in row.items()}


def _shared(asked: _AskedInside, flow: DataFlow, rows: Sequence[Row], largest: int) -> tuple[dict[str, bool], set[str]]:
    """The tensors that are as large for one row less, whether each holds floats, and those that several rows make."""
    if largest < 2 or not (inside := flow.inside):
        return {}, set()
    counts = (_repeated(rows[0], count) for count in (min(3, largest) - 1, min(3, largest)))
    sizes = list(asked.answers([f"{_SIZES}{name}" for name in inside], counts, sizes_of=inside))
    if len(sizes) < 2 or not all(sizes):
        return {}, set()
    smaller, larger = ([found[f"{_SIZES}{name}"] for name in inside] for found in sizes)
    alike = (np.array_equal(one, other) and one.all() for one, other in zip(smaller, larger, strict=True))
    if not (names := [name for name, same in zip(inside, alike, strict=True) if same]):
        return {}, set()
    kinds, mixed = dict[str, bool](), set[str]()
    answers = asked.answers(names, _exchanged(rows))
    for both, first, second in zip(answers, answers, answers, strict=False):
        kinds |= {name: array.dtype.kind in "fV" for name, array in both.items()}
        if first and second:
            mixed.update(name for name, array in both.items() if _of_both(array, first[name], second[name]))
    return kinds, mixed


def _exchanged(rows: Sequence[Row]) -> Iterator[Row]:
    """Two rows, then with another one for either of them; a few times."""
    count = len(rows)
    for n in range(min(count, _EXCHANGES)):
        others = (n + 2, n + 3) if count > 2 else (n + 1, n)
        for pair in ((n, n + 1), (others[0], n + 1), (n, others[1])):
            yield {name: np.concatenate([rows[i % count][name] for i in pair]) for name in rows[0]}


def _of_both(both: Array, first: Array, second: Array) -> bool:
    """Whether something in it changed with either row."""
    if both.shape == first.shape == second.shape:
        return bool((_changed(both, first) & _changed(both, second)).any())
    return first.shape != both.shape != second.shape


def _changed(one: Array, other: Array) -> Array:
    """Where; not a number is that again."""
    return np.asarray((one != other) & ((one == one) | (other == other)))


@dataclass(frozen=True)
class _AskedInside:
    """A model that is asked for what lies inside of it."""

    proto: Any
    model: Path

    @classmethod
    def of(cls, model: Path) -> _AskedInside:
        """Without functions of its own, in which conditions could hide."""
        import onnx.inliner

        proto = onnx.load(model, load_external_data=False)
        return cls(onnx.inliner.inline_local_functions(proto) if proto.functions else proto, model)

    @property
    def graph(self) -> Any:
        """The model's."""
        return self.proto.graph

    def answers(
        self, names: Sequence[str], batches: Iterable[Row], *, sizes_of: Sequence[str] = ()
    ) -> Iterator[dict[str, Array]]:
        """These tensors for each batch, none where it does not take it.

        The copy lies beside the model, where its weights may be.
        """
        import onnx
        from google.protobuf.message import EncodeError

        outputs, count = list(self.graph.output), len(self.graph.node)
        self.graph.node.extend(onnx.helper.make_node("Shape", [name], [f"{_SIZES}{name}"]) for name in sizes_of)
        del self.graph.output[:]
        self.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        path = self.model.with_name(f"asked-{self.model.name}")
        try:
            onnx.save(self.proto, path)
            run = runtimes.load(Format.ONNX, path)
        except (NotRunnableError, ValueError, EncodeError):  # larger than protobuf takes
            return
        finally:
            path.unlink(missing_ok=True)
            del self.graph.output[:], self.graph.node[count:]
            self.graph.output.extend(outputs)
        for batch in batches:
            try:
                yield run(batch)
            except RunFailedError:
                yield {}

"""How what the inputs hold goes through an ONNX graph, by the names of its tensors.

What follows from shapes alone (exporters write such) is none of it. Graphs inside of a node are part of the node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OF_SHAPES = {"Shape", "Size", "EyeLike", "RandomNormalLike", "RandomUniformLike"}
_COMPARISONS = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"}
# Of tensors that are broadcast to one another: what has no rows goes into each row of the other.
_ELEMENTWISE = {
    "Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum", "Pow", "Mod", "Where", "And", "Or", "Xor", "Clip", "PRelu",
    *_COMPARISONS,
}  # fmt: skip
_LISTS = {"SequenceConstruct", "SequenceInsert", "SequenceErase", "SequenceEmpty", "SplitToSequence", "SequenceMap"}


@dataclass(frozen=True)
class DataFlow:
    """Of a graph; `carried` are computed from what the inputs hold."""

    graph: Any
    carried: frozenset[str]

    @classmethod
    def of(cls, graph: Any) -> DataFlow:
        """Of an ONNX graph whose nodes are in order, as the format wants them."""
        weights = {tensor.name for tensor in graph.initializer}
        return cls(graph, frozenset(_after(graph, {value.name for value in graph.input} - weights)))

    @property
    def conditions(self) -> list[str]:
        """What the graph's branches ask."""
        asked = (node.input[0] for node in self.graph.node if node.op_type == "If")
        return list(dict.fromkeys(name for name in asked if name in self.carried))

    @property
    def inside(self) -> list[str]:
        """The tensors between the inputs and the outputs."""
        outputs = {value.name for value in self.graph.output}
        wanted = set(outputs)
        for node in reversed(self.graph.node):
            if not wanted.isdisjoint(node.output) and node.op_type not in _OF_SHAPES:
                wanted.update(_taken(node))
        names = (name for node in self.graph.node for name in node.output)
        return [name for name in names if name and name in self.carried & wanted - outputs - _lists(self.graph)]

    def brought_back(self, shared: Collection[str], mixed: Iterable[str]) -> list[str]:
        """Those of `shared` that go into all rows, or somewhere into them with what is made of several (`mixed`).

        Not so a row by itself, which loops that an exporter unrolled take out and put back in its place.
        """
        tainted, names = _after(self.graph, set(mixed)), dict[str, None]()
        for node in self.graph.node:
            if node.op_type in _OF_SHAPES or self.carried.intersection(node.output) <= set(shared):
                continue
            taken = list(_taken(node))
            spread = node.op_type in _ELEMENTWISE and any(n in self.carried and n not in shared for n in taken)
            names.update((name, None) for name in taken if name in shared and (spread or name in tainted))
        return list(names)

    def continuous(self, shared: Mapping[str, bool]) -> set[str]:
        """Those of `shared` (whether each holds floats) that move with the inputs; a condition's results jump."""
        names: set[str] = set()
        for node in self.graph.node:
            sources = self.carried.intersection(_taken(node))
            if not sources <= shared.keys() or sources & names:
                names.update(name for name in node.output if shared.get(name))
        return names

    def compared_after(self, names: Iterable[str]) -> list[str]:
        """What is compared with what follows from `names`."""
        after = _after(self.graph, set(names))
        return [node.output[0] for node in self.graph.node if node.op_type in _COMPARISONS and after & {*node.output}]


def _after(graph: Any, names: set[str]) -> set[str]:
    """These, and all that is computed from them."""
    for node in graph.node:
        if node.op_type not in _OF_SHAPES and not names.isdisjoint(_taken(node)):
            names.update(name for name in node.output if name)
    return names


def _taken(node: Any) -> Iterator[str]:
    """What a node takes; the graphs in it, of their own tensors and of those around them, too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g,) if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from _taken(inner)


def _lists(graph: Any) -> set[str]:
    """What is a list of tensors, which has no shape."""
    names: set[str] = set()
    for node in graph.node:
        inner = [value for attribute in node.attribute for value in attribute.g.output]
        same = node.op_type == "Identity" and node.input[0] in names
        if same or node.op_type in _LISTS or any(value.type.HasField("sequence_type") for value in inner):
            names.update(node.output)
    return names

"""How the stages of a cascade hang together: every input finds its source, every edge its dtype and shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tritonpm.core.errors import RenderError
from tritonpm.core.types import Package, Stage, Tensor
from tritonpm.repository.config import compatible


@dataclass(frozen=True)
class Edge:
    """A stage's input and where it comes from: a stage's output, or (stage "") an input of the package."""

    stage: str
    tensor: str
    source_stage: str
    source_tensor: str


@dataclass(frozen=True)
class Wiring:
    """All edges, the package's own inputs, and its outputs as (public name, stage, tensor).

    `names` says what every output of a stage that somebody takes is called inside the ensemble; no two share a name,
    nor does one with an input: Triton takes tensors of one name for one tensor, and a cycle of them wedges it.
    """

    edges: tuple[Edge, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[tuple[str, str, Tensor], ...]
    names: Mapping[tuple[str, str], str]


def wire(package: Package) -> Wiring:
    """Join the stages: by binding, by name, then one output to one input. Raises RenderError naming the edge.

    Stages may stand side by side on one input of the package, and a later one may take what several of them give.
    """
    inputs: dict[str, Tensor] = {}
    edges: list[Edge] = []
    for index, stage in enumerate(package.stages):
        earlier = package.stages[:index]
        bound = _bindings(package, stage)
        for tensor in stage.signature.inputs:
            source = _source(package, stage, tensor, bound.get(tensor.name), earlier, inputs)
            if source is None:
                if tensor.optional:
                    continue
                raise _dangling(package, stage, tensor, earlier)
            edges.append(Edge(stage.name, tensor.name, *source))
            _check(package, edges[-1], tensor, inputs)
    _require_joined(package, edges)
    outputs = _outputs(package, edges, inputs)
    return Wiring(tuple(edges), tuple(inputs.values()), outputs, _names(edges, inputs, outputs))


def require_unbound(package: Package) -> None:
    """Raise RenderError where the one stage of a package binds what there is not: its inputs are the package's."""
    for tensor, source in _bindings(package, package.stages[0]).items():
        if source != tensor:
            what = f"input {tensor!r} is bound to {source!r}, and there is no other stage that could give it"
            raise _refused(package, what, "leave its bindings out")


def _require_joined(package: Package, edges: Iterable[Edge]) -> None:
    """Raise RenderError where a stage shares neither an input nor an output with the others: that is two packages."""
    groups = [{(stage.name, "")} for stage in package.stages]  # of stages, and of inputs, that hang together
    for edge in edges:
        ends = {(edge.stage, ""), (edge.source_stage, "" if edge.source_stage else edge.source_tensor)}
        apart = [group for group in groups if not group & ends]
        groups = [*apart, ends.union(*(group for group in groups if group & ends))]
    if len(groups) > 1:
        first = next(group for group in groups if (package.stages[0].name, "") in group)
        lonely = next(stage.name for stage in package.stages if (stage.name, "") not in first)
        what = f"stage {lonely} takes nothing from an earlier stage, nor an input that one of them has"
        raise _refused(package, what, "bind one of its inputs to an output, or to an input of the package")


def _bindings(package: Package, stage: Stage) -> dict[str, str]:
    bound = dict(stage.bindings)
    for unknown in set(bound) - {tensor.name for tensor in stage.signature.inputs}:
        raise _refused(package, f"stage {stage.name} has no input {unknown!r}", "correct its bindings")
    return bound


def _source(
    package: Package,
    stage: Stage,
    tensor: Tensor,
    binding: str | None,
    earlier: tuple[Stage, ...],
    inputs: dict[str, Tensor],
) -> tuple[str, str] | None:
    if binding is not None:
        return _bound(package, stage, tensor, binding, earlier, inputs)
    for source in reversed(earlier):
        if any(output.name == tensor.name for output in source.signature.outputs):
            return source.name, tensor.name
    if earlier:  # before a package input of that name: "input" is what many exporters call every model's input
        outputs, ours = earlier[-1].signature.outputs, stage.signature.inputs
        fits = len(outputs) == len(ours) == 1 and outputs[0].dtype == tensor.dtype
        if fits and compatible(outputs[0].shape, tensor.shape):
            return earlier[-1].name, outputs[0].name
    if not earlier or tensor.name in inputs:
        return "", _shared(inputs, tensor, tensor.name)
    return None


def _shared(inputs: dict[str, Tensor], tensor: Tensor, name: str) -> str:
    """An input of the package that one more stage takes: as narrow as all that take it."""
    known = inputs.setdefault(name, replace(tensor, name=name))
    if known.shape is None or tensor.shape is None:
        inputs[name] = replace(known, shape=known.shape or tensor.shape)
    elif compatible(known.shape, tensor.shape):
        pairs = zip(known.shape, tensor.shape, strict=True)
        sizes = tuple(a if isinstance(a, int) or isinstance(b, str) else b for a, b in pairs)
        inputs[name] = replace(known, shape=sizes, optional=known.optional and tensor.optional)
    return name


def _bound(
    package: Package, stage: Stage, tensor: Tensor, binding: str, earlier: tuple[Stage, ...], inputs: dict[str, Tensor]
) -> tuple[str, str]:
    name, dot, output = binding.partition(".")
    known = {other.name for other in package.stages}
    if binding in inputs or not dot:
        return "", _shared(inputs, tensor, binding)
    if name not in known:
        raise _refused(
            package,
            f"input {tensor.name!r} of stage {stage.name} is bound to {binding!r}, but there is no stage {name!r} "
            "and no input of that name",
            f"correct the binding (the stages are {', '.join(other.name for other in package.stages)})",
        )
    if name not in {other.name for other in earlier}:
        later = "itself" if name == stage.name else f"the later stage {name}"
        raise _refused(
            package,
            f"input {tensor.name!r} of stage {stage.name} is bound to {later}: that is a cycle",
            "bind it to an earlier one",
        )
    if output not in {tensor.name for tensor in package.stage(name).signature.outputs}:
        has = ", ".join(tensor.name for tensor in package.stage(name).signature.outputs)
        raise _refused(
            package,
            f"input {tensor.name!r} of stage {stage.name} is bound to {binding!r}, but stage {name} has only {has}",
            "correct the binding",
        )
    return name, output


def _check(package: Package, edge: Edge, tensor: Tensor, inputs: dict[str, Tensor]) -> None:
    if edge.source_stage:
        outputs = package.stage(edge.source_stage).signature.outputs
        source = next(output for output in outputs if output.name == edge.source_tensor)
        what = f"{edge.source_stage}.{edge.source_tensor}"
    else:
        source, what = inputs[edge.source_tensor], f"the package's input {edge.source_tensor}"
    into = f"{edge.stage}.{edge.tensor}"
    if source.dtype != tensor.dtype:
        raise _refused(
            package, f"{what} is {source.dtype}, but {into} takes {tensor.dtype}", "convert it in one of the models"
        )
    if not compatible(source.shape, tensor.shape):
        raise _refused(
            package,
            f"{what} has shape {_said(source)}, but {into} takes {_said(tensor)}",
            "export the models with shapes that fit",
        )


def _outputs(
    package: Package, edges: Iterable[Edge], inputs: Mapping[str, Tensor]
) -> tuple[tuple[str, str, Tensor], ...]:
    """What nobody consumes is the package's own output, and so is every output of the last stage.

    Where stages say which outputs clients get, and how they call them, it is those.
    """
    if any(stage.outputs for stage in package.stages):
        return tuple(_said_outputs(package, inputs))
    consumed = {(edge.source_stage, edge.source_tensor) for edge in edges}
    last = package.stages[-1].name
    free = [
        (stage.name, tensor)
        for stage in package.stages
        for tensor in stage.signature.outputs
        if stage.name == last or (stage.name, tensor.name) not in consumed
    ]
    names = [tensor.name for _, tensor in free]
    plain = {name for name in names if names.count(name) == 1 and name not in inputs}
    taken = {*inputs, *plain}
    return tuple(
        (tensor.name if tensor.name in plain else _untaken(f"{stage}.{tensor.name}", taken), stage, tensor)
        for stage, tensor in free
    )


def _said_outputs(package: Package, inputs: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Tensor]]:
    for stage in package.stages:
        tensors = {tensor.name: tensor for tensor in stage.signature.outputs}
        for name, public in stage.outputs:
            if name not in tensors:
                what = f"stage {stage.name} has no output {name!r}, but {', '.join(tensors)}"
                raise _refused(package, what, "correct its `outputs`")
            if public in inputs:
                what = f"output {name!r} of stage {stage.name} is called {public!r}, as an input of the package is"
                raise _refused(package, what, "give it another name in `outputs`")
            yield public, stage.name, tensors[name]


def _names(
    edges: Iterable[Edge], inputs: Mapping[str, Tensor], outputs: Iterable[tuple[str, str, Tensor]]
) -> dict[tuple[str, str], str]:
    names = {(stage, tensor.name): public for public, stage, tensor in outputs}
    taken = {*inputs, *names.values()}
    for edge in edges:
        source = (edge.source_stage, edge.source_tensor)
        if edge.source_stage and source not in names:
            names[source] = _untaken(".".join(source), taken)
    return names


def _untaken(name: str, taken: set[str]) -> str:
    """`name`, lengthened until nobody has it; it is then taken."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _dangling(package: Package, stage: Stage, tensor: Tensor, earlier: tuple[Stage, ...]) -> RenderError:
    offered = ", ".join(f"{s.name}.{t.name} ({t.dtype} {_said(t)})" for s in earlier for t in s.signature.outputs)
    return _refused(
        package,
        f"input {tensor.name!r} ({tensor.dtype} {_said(tensor)}) of stage {stage.name} is fed by nothing "
        f"(there is {offered})",
        f"add `inputs: {{{tensor.name}: STAGE.OUTPUT}}` to the stage",
    )


def _said(tensor: Tensor) -> str:
    return "any" if tensor.shape is None else "[" + ", ".join(str(d) for d in tensor.shape) + "]"


def _refused(package: Package, what: str, do: str) -> RenderError:
    return RenderError(what, where=package.name, do=do)

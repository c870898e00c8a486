"""What Triton refuses in an ensemble: members, tensors, types, batch sizes and cycles.

Source: Triton's ensemble models document, and what a real tritonserver 2.51 answered (docs/lint.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tritonpm.package.config import served_versions
from tritonpm.repository.lint.folder import ModelFolder
from tritonpm.repository.lint.model import Problem

Models = Mapping[str, ModelFolder]


@dataclass(frozen=True)
class EdgeEnd:
    """What one model says of a tensor that two of them share."""

    who: str
    tensor: Any
    batched: bool

    @property
    def full(self) -> list[int]:
        """The dims with the batch dimension."""
        return ([-1] if self.batched else []) + list(self.tensor.dims)


def problems(model: ModelFolder, models: Models) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) of everything that is wrong with an ensemble among the other models."""
    config = model.config
    if not config.ensemble_scheduling.step:
        yield "ensemble-steps", ("", "an ensemble needs at least one step")
        return
    if config.instance_group:
        yield "ensemble-instance-group", ("instance_group", "an ensemble has no instances of its own: set its members'")
    for field, given in (("backend", config.backend), ("optimization", config.HasField("optimization"))):
        if given:
            yield "ensemble-fields", (field, f"an ensemble takes no {field}: its members have their own")
    if config.max_batch_size < 0:
        return
    wired = True
    for rule, problem in _steps(model, models):
        wired = False
        yield rule, problem
    for kind in ("input", "output"):
        if not getattr(config, kind):
            wired = False
            yield "ensemble-tensors", ("", f"an ensemble must name its {kind}s")
    if cycle := _cycle(model.name, models):
        wired = False
        yield "ensemble-cycle", ("ensemble_scheduling", f"it runs in a circle: {' → '.join(cycle)}")
    if wired:
        yield from _wiring(model, models)


def _steps(model: ModelFolder, models: Models) -> Iterator[tuple[str, Problem]]:
    for number, step in enumerate(model.config.ensemble_scheduling.step):
        place = f"ensemble_scheduling.step[{number}]"
        name = step.model_name
        if not name:
            yield "ensemble-member", (place, "a step names no model")
        elif "/" in name or name in (".", ".."):
            yield "ensemble-member", (f"{place}.model_name", f"{name!r} leads out of the repository")
        elif name not in models:
            yield "ensemble-member", (f"{place}.model_name", f"the member {name!r} is not in the repository")
        elif step.model_version < -1:
            yield (
                "ensemble-version",
                (f"{place}.model_version", f"{step.model_version} is no version: use -1 for the newest"),
            )
        elif step.model_version > 0 and step.model_version not in served_versions(
            models[name].config, models[name].versions
        ):
            yield "ensemble-version", (f"{place}.model_version", f"{name} serves no version {step.model_version}")
        for field, mapping in (("input_map", step.input_map), ("output_map", step.output_map)):
            if not mapping:
                yield "ensemble-map", (place, f"the step of {name!r} has no {field}")
            if any(not tensor for tensor in mapping.values()):
                yield "ensemble-map", (f"{place}.{field}", f"the step of {name!r} maps to a tensor without a name")


def _cycle(start: str, models: Models) -> list[str]:
    """A circle of ensembles that `start` is in or reaches: [] or its names."""
    path: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        model = models.get(name)
        if name in done or model is None or model.config is None:
            return []
        path.append(name)
        for step in model.config.ensemble_scheduling.step:
            if cycle := visit(step.model_name):
                return cycle
        done.add(path.pop())
        return []

    return visit(start)


def _wiring(model: ModelFolder, models: Models) -> Iterator[tuple[str, Problem]]:
    config = model.config
    tensors: dict[str, EdgeEnd] = {}
    for tensor in config.input:
        tensors[tensor.name] = EdgeEnd("the ensemble", tensor, config.max_batch_size > 0)
    written = set(tensors)
    read: set[str] = set()
    for number, step in enumerate(config.ensemble_scheduling.step):
        place = f"ensemble_scheduling.step[{number}]"
        member = models[step.model_name].config
        if member is None or not (member.input and member.output):
            return  # a member that its backend completes, or a broken one, which is told where it stands
        yield from _batches(config, member, place, step.model_name)
        yield from _mapped(step, member, place)
        for tensor in member.output:
            name = step.output_map.get(tensor.name)
            if name and name in written:
                yield "ensemble-writer", (f"{place}.output_map", f"the tensor {name!r} is written twice")
            if name:
                written.add(name)
        for kind, mapping in (("input", step.input_map), ("output", step.output_map)):
            for tensor in getattr(member, kind):
                if name := mapping.get(tensor.name):
                    yield from _agreed(
                        tensors, name, EdgeEnd(step.model_name, tensor, member.max_batch_size > 0), place
                    )
            read.update(mapping.values() if kind == "input" else ())
    for number, tensor in enumerate(config.output):
        if tensor.name not in written:
            yield "ensemble-output", (f"output[{number}]", f"the output {tensor.name!r} is written by no step")
        else:
            side = EdgeEnd("the ensemble", tensor, config.max_batch_size > 0)
            yield from _agreed(tensors, tensor.name, side, f"output[{number}]")
    for name in sorted(read - written):
        yield (
            "ensemble-dangling",
            ("ensemble_scheduling", f"the tensor {name!r} is read by a step, but written by none"),
        )
    for number, tensor in enumerate(config.input):
        if tensor.name not in read:
            yield "ensemble-unused", (f"input[{number}]", f"the input {tensor.name!r} is read by no step")


def _batches(config: Any, member: Any, place: str, name: str) -> Iterator[tuple[str, Problem]]:
    if config.max_batch_size > member.max_batch_size > 0:  # one without batching must have the dimension itself
        sentence = (
            f"max_batch_size is {config.max_batch_size}, but its member {name} takes {member.max_batch_size} at most"
        )
        yield "ensemble-batch", ("max_batch_size", sentence)


def _mapped(step: Any, member: Any, place: str) -> Iterator[tuple[str, Problem]]:
    inputs = {tensor.name: tensor for tensor in member.input}
    outputs = {tensor.name for tensor in member.output}
    for name in sorted(set(step.input_map) - set(inputs)):
        yield "ensemble-map", (f"{place}.input_map", f"{step.model_name} has no input {name!r}")
    for name in sorted(set(step.output_map) - outputs):
        yield "ensemble-map", (f"{place}.output_map", f"{step.model_name} has no output {name!r}")
    for name, tensor in inputs.items():
        if name not in step.input_map and not tensor.optional:
            yield "ensemble-map", (place, f"the input {name!r} of {step.model_name} is fed by nothing")


def _agreed(tensors: dict[str, EdgeEnd], name: str, ours: EdgeEnd, place: str) -> Iterator[tuple[str, Problem]]:
    """Both sides of an edge have one dtype, and dims that fit with the batch dimension or without it."""
    theirs = tensors.setdefault(name, ours)
    if theirs.tensor.data_type != ours.tensor.data_type:
        yield "ensemble-dtype", (place, f"the tensor {name!r} has one type for {theirs.who} and another for {ours.who}")
    if not (_fit(theirs.full, ours.full) or _fit(list(theirs.tensor.dims), list(ours.tensor.dims))):
        yield (
            "ensemble-dims",
            (place, f"the tensor {name!r} is {theirs.full} for {theirs.who}, but {ours.full} for {ours.who}"),
        )


def _fit(one: list[int], other: list[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))

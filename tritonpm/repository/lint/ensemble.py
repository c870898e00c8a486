"""What Triton refuses in an ensemble: members, tensors, types, batch sizes and cycles.

Source: Triton's ensemble models document, and what a real tritonserver 2.51 answered (docs/lint.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tritonpm.package.config import served_versions
from tritonpm.repository.config import DEFAULT_FILES
from tritonpm.repository.lint.folder import ModelFolder, Problem

Models = Mapping[str, ModelFolder]


@dataclass(frozen=True)
class EdgeEnd:
    """What one model says of a tensor that two of them share."""

    who: str
    tensor: Any
    batched: bool
    own: bool = False  # of the ensemble, not of a member

    @property
    def full(self) -> list[int]:
        """The dims with the batch dimension."""
        return ([-1] if self.batched else []) + self.dims

    @property
    def dims(self) -> list[int]:
        """The dims without the batch dimension; an ensemble's own are reshaped for its members."""
        own = self.tensor.reshape.shape if self.own and self.tensor.HasField("reshape") else self.tensor.dims
        return list(own)


def problems(model: ModelFolder, models: Models) -> Iterator[tuple[str, Problem]]:
    """(rule, (field path, sentence)) of everything that is wrong with an ensemble among the other models."""
    config = model.config
    if not config.ensemble_scheduling.step:
        yield "ensemble-steps", ("", "an ensemble needs at least one step")
        return
    if config.instance_group:
        yield "ensemble-instance-group", ("instance_group", "an ensemble has no instances of its own: set its members'")
    if config.backend or config.default_model_filename in DEFAULT_FILES.values():  # which tells a backend, too
        field = "backend" if config.backend else "default_model_filename"
        yield "ensemble-fields", (field, f"an ensemble takes no {field}: its members have their own")
    for field, given in (("optimization", config.HasField("optimization")), ("model_warmup", config.model_warmup)):
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
        yield "ensemble-cycle", ("ensemble_scheduling", f"it forms a cycle: {' → '.join(cycle)}")
    for rule, problem in _flow(config) if wired else ():
        wired = False
        yield rule, problem
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
                (f"{place}.model_version", f"{step.model_version} is not a version: use -1 for the newest"),
            )
        elif step.model_version != -1 and step.model_version not in served_versions(
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


def _flow(config: Any) -> Iterator[tuple[str, Problem]]:
    """Whether every tensor has one writer and is read, and every output is reached from the inputs."""
    place = "ensemble_scheduling"
    steps = [(set(step.input_map.values()), list(step.output_map.values())) for step in config.ensemble_scheduling.step]
    read = set().union(*(inputs for inputs, _ in steps))
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (config.input, config.output))
    written = [name for _, names in steps for name in names]
    for name in sorted({name for name in written if written.count(name) > 1 or name in inputs}):
        yield "ensemble-writer", (place, f"the tensor {name!r} is written twice")
    for number, name in enumerate(inputs):
        if name not in read:
            yield "ensemble-unused", (f"input[{number}]", f"the input {name!r} is read by no step")
    for number, name in enumerate(outputs):
        if name not in {*written, *inputs}:
            yield "ensemble-output", (f"output[{number}]", f"the output {name!r} is written by no step")
    for name in sorted(read - {*written, *inputs}):
        yield "ensemble-dangling", (place, f"the tensor {name!r} is read by a step, but written by none")
    for name in sorted(set(written) - read - set(outputs)):
        yield "ensemble-unused", (place, f"the tensor {name!r} is written by a step, but never read")
    ready = set(inputs)
    while reached := {name for needs, names in steps if needs <= ready for name in names} - ready:
        ready |= reached
    for name in sorted({*written} - ready):
        yield "ensemble-dangling", (place, f"the tensor {name!r} waits for one that is never written")


def _answers(config: Any, models: Models) -> Iterator[tuple[str, Problem]]:
    """Whether each step reads of one decoupled model at most: two of them answer as often as each likes."""
    origin = dict.fromkeys((tensor.name for tensor in config.input), -1)
    waiting = list(enumerate(config.ensemble_scheduling.step))
    while ready := [(at, step) for at, step in waiting if set(step.input_map.values()) <= set(origin)]:
        waiting = [item for item in waiting if item not in ready]
        for number, step in ready:
            sources = {origin[name] for name in step.input_map.values()}
            if len(sources) > 1:
                sentence = f"the step of {step.model_name} reads of several decoupled models, or of one and the request"
                yield "ensemble-decoupled", (f"ensemble_scheduling.step[{number}]", sentence)
            decoupled = models[step.model_name].config.model_transaction_policy.decoupled
            origin |= dict.fromkeys(step.output_map.values(), number if decoupled else min(sources))
    if config.response_cache.enable and any(number >= 0 for number in origin.values()):
        yield "ensemble-decoupled", ("response_cache", "an ensemble of decoupled models cannot use the response cache")


def _wiring(model: ModelFolder, models: Models) -> Iterator[tuple[str, Problem]]:
    """Whether what the members say of a tensor that they share agrees."""
    config = model.config
    tensors: dict[str, EdgeEnd] = {}
    for kind in (config.input, config.output):
        for tensor in kind:
            tensors.setdefault(tensor.name, EdgeEnd("the ensemble", tensor, config.max_batch_size > 0, own=True))
    for number, step in enumerate(config.ensemble_scheduling.step):
        place = f"ensemble_scheduling.step[{number}]"
        member = models[step.model_name].config
        if member is None or not (member.input and member.output):
            return  # a member that its backend completes, or a broken one, which is told where it stands
        yield from _batches(config, member, place, step.model_name)
        yield from _mapped(step, member, place)
        for kind, mapping in (("input", step.input_map), ("output", step.output_map)):
            for tensor in getattr(member, kind):
                if name := mapping.get(tensor.name):
                    end = EdgeEnd(step.model_name, tensor, member.max_batch_size > 0)
                    yield from _agreed(tensors, name, end, place)
    yield from _answers(config, models)


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
    if not (_fit(theirs.full, ours.full) or _fit(theirs.dims, ours.dims)):
        yield (
            "ensemble-dims",
            (place, f"the tensor {name!r} is {theirs.full} for {theirs.who}, but {ours.full} for {ours.who}"),
        )


def _fit(one: list[int], other: list[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))

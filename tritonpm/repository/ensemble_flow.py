"""An ensemble that somebody wrote as the stages of a cascade, where it is one; else why it is none.

What it is compared by is what would be rendered: the same inputs and outputs, and the same tensors from step to step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.types import REVISION, Package, Stage
from tritonpm.repository.cascade import wire
from tritonpm.repository.config import messages
from tritonpm.repository.ensemble import ensemble

_OWN = {"name", "platform", "max_batch_size", "input", "output", "ensemble_scheduling"}  # what a cascade's has, too
_TENSOR = {"name", "data_type", "dims", "optional"}


class NoCascadeError(Exception):
    """Why an ensemble stays one: a clause."""


def flow(config: Any, members: Mapping[str, Stage], configs: Mapping[str, Any]) -> list[tuple[str, Stage]]:
    """(model, stage) of the cascade that an ensemble is: the model's, with its name, its sources and what it gives.

    `members` and `configs` are those of its models, by name. Raises NoCascadeError.
    """
    require_plain(config)
    for name in members:
        _require_tensors_only(name, configs[name])
    stages: list[tuple[str, Stage]] = []
    own, made = {}, _makers(config)
    for number in _in_order(config, made):
        step = config.ensemble_scheduling.step[number]
        name = made[number]
        bindings = tuple(sorted((tensor, _source(config, made, source)) for tensor, source in step.input_map.items()))
        public = {output.name for output in config.output}
        outputs = tuple(sorted((tensor, given) for tensor, given in step.output_map.items() if given in public))
        stage = replace(members[step.model_name], name=name, bindings=bindings, outputs=outputs)
        stages.append((step.model_name, stage))
        own[name] = configs[step.model_name]
    _require_same(config, tuple(stage for _, stage in stages), own, made)
    return stages


def require_plain(config: Any) -> None:
    """Raise NoCascadeError where the config itself, whatever its members are, says what a cascade does not."""
    for field, value in config.ListFields():
        ours = field.name == "parameters" and set(value) == {REVISION}
        if field.name not in _OWN and not ours:
            raise NoCascadeError(f"its config says {field.name}")
    for field, _ in config.ensemble_scheduling.ListFields():
        if field.name != "step":
            raise NoCascadeError(f"its ensemble_scheduling says {field.name}")
    for tensor in (*config.input, *config.output):
        if "." in tensor.name:  # by which a cascade tells what a stage gives from what a client sends
            raise NoCascadeError(f"its tensor {tensor.name} has a dot in its name")
        for field, _ in tensor.ListFields():
            if field.name not in _TENSOR:
                raise NoCascadeError(f"its tensor {tensor.name} has {field.name}")
    for step in config.ensemble_scheduling.step:
        if step.model_version not in (-1, 0) or step.model_namespace:
            raise NoCascadeError(f"it asks for one version of {step.model_name}")


def _require_tensors_only(name: str, config: Any) -> None:
    """Raise NoCascadeError where a member keeps state, may send any number of responses, or joins others itself."""
    if config.HasField("ensemble_scheduling"):
        raise NoCascadeError(f"its member {name} is an ensemble itself")
    if config.HasField("sequence_batching"):
        raise NoCascadeError(f"its member {name} handles sequences")
    if config.model_transaction_policy.decoupled:
        raise NoCascadeError(f"its member {name} may send any number of responses")


def _makers(config: Any) -> dict[int, str]:
    """The stages' names by step: the model's, with a number where it is there again."""
    names: dict[int, str] = {}
    for number, step in enumerate(config.ensemble_scheduling.step):
        name, again = step.model_name, 1
        while name in names.values():
            again += 1
            name = f"{step.model_name}-{again}"
        names[number] = name
    return names


def _in_order(config: Any, made: Mapping[int, str]) -> Iterator[int]:
    """The steps, each after those that it takes something of. Raises NoCascadeError where there is a circle."""
    known = {tensor.name for tensor in config.input}
    left = list(made)
    while left:
        steps = config.ensemble_scheduling.step
        ready = [number for number in left if known.issuperset(steps[number].input_map.values())]
        if not ready:
            raise NoCascadeError(f"nothing gives what {made[left[0]]} takes")
        yield ready[0]
        left.remove(ready[0])
        known.update(steps[ready[0]].output_map.values())


def _source(config: Any, made: Mapping[int, str], tensor: str) -> str:
    """Where a tensor of the ensemble comes from, as a binding says it."""
    for number, step in enumerate(config.ensemble_scheduling.step):
        for output, name in step.output_map.items():
            if name == tensor:
                return f"{made[number]}.{output}"
    return tensor


def _require_same(config: Any, stages: tuple[Stage, ...], own: Mapping[str, Any], made: Mapping[int, str]) -> None:
    """Raise NoCascadeError where the cascade's ensemble would not be this one."""
    package = Package(config.name, "", "", "", stages, (), "")
    named = {}
    for stage, member in own.items():
        named[stage] = messages().ModelConfig()
        named[stage].CopyFrom(member)
        named[stage].name = stage
    try:
        rendered = ensemble(config.name, wire(package), named)
    except RenderError as error:
        raise NoCascadeError(error.what) from None
    if rendered.max_batch_size != config.max_batch_size:
        size, members = config.max_batch_size, rendered.max_batch_size
        raise NoCascadeError(f"its max_batch_size is {size}, and that of its members {members}")
    for side in ("input", "output"):
        ours, theirs = (_tensors(getattr(one, side)) for one in (rendered, config))
        if differing := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
            tensor = differing[0]
            if side == "input":
                raise NoCascadeError(f"its input {tensor} is not as its members have it")
            raise NoCascadeError(f"its output {tensor} is not as its members have it")
    if [output.name for output in rendered.output] != [output.name for output in config.output]:
        raise NoCascadeError("its outputs are in another order than its members give them in")
    if _edges(rendered, dict(enumerate(own))) != _edges(config, made):
        raise NoCascadeError("its members are not joined by their tensors' names alone")


def _tensors(tensors: Any) -> dict[str, tuple[object, ...]]:
    return {
        tensor.name: (tensor.data_type, tuple(tensor.dims), getattr(tensor, "optional", False)) for tensor in tensors
    }


def _edges(config: Any, made: Mapping[int, str]) -> set[tuple[str, str, str]]:
    """(stage, its input, where that comes from), and ("", the ensemble's output, where that comes from)."""
    steps = config.ensemble_scheduling.step
    edges = {
        (made[number], tensor, _source(config, made, source))
        for number, step in enumerate(steps)
        for tensor, source in step.input_map.items()
    }
    return edges | {("", output.name, _source(config, made, output.name)) for output in config.output}

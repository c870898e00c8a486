"""The ensemble of a cascade: Triton's ModelConfig that runs the members one after the other.

Source: Triton's document on ensemble models and its check of them (core, ensemble_utils.cc).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonpm.core.errors import RenderError
from tritonpm.core.types import Shape, Tensor, config_dtype, dims
from tritonpm.repository.cascade import Edge, Wiring
from tritonpm.repository.config import compatible, messages


def ensemble(name: str, wiring: Wiring, members: Mapping[str, Any]) -> Any:
    """The config named `name` over the configs of the stages, in their order.

    Raises RenderError, naming the edge, where Triton would hand a tensor over in another shape than the models do.
    """
    config = messages().ModelConfig(name=name, platform="ensemble")
    config.max_batch_size = min(member.max_batch_size for member in members.values())
    for tensor in wiring.inputs:
        edges = [edge for edge in wiring.edges if _feeds(tensor.name, edge)]
        ends = [_entry(members[edge.stage].input, edge.tensor) for edge in edges]
        taken = [_served(members[edge.stage], end) for edge, end in zip(edges, ends, strict=True)]
        _describe(config, config.input.add(), tensor.name, tensor, _narrowest(taken))
        config.input[-1].optional = all(end is not None and end.optional for end in ends)
    for public, stage, tensor in wiring.outputs:
        made = _entry(members[stage].output, tensor.name)
        _describe(config, config.output.add(), public, tensor, _served(members[stage], made))
    for edge in wiring.edges:
        _check(config, edge, wiring, members)
    for stage, member in members.items():
        step = config.ensemble_scheduling.step.add(model_name=member.name, model_version=-1)
        for edge in (edge for edge in wiring.edges if edge.stage == stage):
            step.input_map[edge.tensor] = _within(edge, wiring)
        for (source, tensor_name), internal in wiring.names.items():
            if source == stage:
                step.output_map[tensor_name] = internal
    return config


def _feeds(name: str, edge: Edge) -> bool:
    """Whether an edge comes from the package's input of that name."""
    return not edge.source_stage and edge.source_tensor == name


def _within(edge: Edge, wiring: Wiring) -> str:
    """What an edge's source is called inside the ensemble."""
    return wiring.names[edge.source_stage, edge.source_tensor] if edge.source_stage else edge.source_tensor


def _entry(entries: Any, name: str) -> Any:
    """A member's input or output; None where its config (an adopted one) leaves it to the backend."""
    return next((entry for entry in entries if entry.name == name), None)


def _served(config: Any, entry: Any) -> Shape | None:
    """A tensor as Triton hands it over, batch dimension included; None where the config does not say."""
    if entry is None:
        return None
    return (-1, *entry.dims) if config.max_batch_size else tuple(entry.dims)


def _narrowest(shapes: Sequence[Shape | None]) -> Shape | None:
    """What fits all that take one tensor: a size goes before -1. Where two sizes differ, `_check` tells."""
    known = [shape for shape in shapes if shape is not None]
    if not known or any(len(shape) != len(known[0]) for shape in known):
        return known[0] if known else None
    return tuple(next((size for size in sizes if size != -1), -1) for sizes in zip(*known, strict=True))


def _describe(config: Any, entry: Any, name: str, tensor: Tensor, served: Shape | None) -> None:
    """Say of the ensemble's tensor what the member says of its own, so that clients see what Triton takes and gives."""
    full = tensor.shape if served is None else served
    if full is None:
        raise RenderError(f"tensor {name!r} has no rank, which Triton must be told", where=config.name,
                          do="name its dims in the member's config.pbtxt")  # fmt: skip
    entry.name, entry.data_type = name, messages().DataType.Value(config_dtype(tensor.dtype))
    entry.dims.extend(dims(full[1:] if config.max_batch_size else full) or (1,))


def _check(config: Any, edge: Edge, wiring: Wiring, members: Mapping[str, Any]) -> None:
    """Hold an edge's two ends together: Triton's own check also passes what fits only without the batch dimension."""
    if edge.source_stage:
        maker, what = members[edge.source_stage], f"{edge.source_stage}.{edge.source_tensor}"
        made = _served(maker, _entry(maker.output, edge.source_tensor))
    else:
        what = f"the package's input {edge.source_tensor}"
        made = _served(config, _entry(config.input, edge.source_tensor))
    taker = members[edge.stage]
    taken = _served(taker, _entry(taker.input, edge.tensor))
    if not compatible(made, taken):
        raise RenderError(
            f"{what} is {list(made or ())} on Triton, but {edge.stage}.{edge.tensor} takes {list(taken or ())} there",
            where=config.name,
            do="serve both stages by one backend, or export the models with a further dimension",
        )

"""Whether a proof would notice a damaged model: weights of the original are changed by more than any tolerance."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert import runtimes
from tritonpm.convert.agreement import BOUNDS, TELL, Measured
from tritonpm.convert.conversion import Artefact
from tritonpm.convert.inputs import Clock
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.convert.trials import Trial
from tritonpm.core.types import Agreement, Format, Power, Task
from tritonpm.core.units import GIB

_WEIGHTS = 4  # that are damaged, spread over the graph; those inside of conditions and loops more
_LEAST = 8  # elements of a weight; smaller constants may well be without effect
_LARGEST = GIB // 2  # bytes of a model that is written anew for each of them


def weights_noticed(
    result: Agreement, original: Artefact, run: Run, tried: Sequence[Trial], *, precision: str, task: Task,
    tolerances: Mapping[str, float], clock: Clock,
) -> Agreement:  # fmt: skip
    """The agreement with that power: unverified where most of the damage, or that in a branch, goes unnoticed."""
    if original.format is not Format.ONNX or original.model.stat().st_size > _LARGEST or not tried:
        return result
    seen, unseen, hidden = 0, list[str](), list[str]()
    bounds = {**BOUNDS[precision], **tolerances}
    wants = [(trial, run(trial.arrays)) for trial in tried]
    with tempfile.TemporaryDirectory(prefix="damaged-", dir=original.model.parent.parent) as folder:
        for name, inner, model in _damaged(original.model, Path(folder)):
            if clock.over:
                break
            try:
                other = runtimes.load(Format.ONNX, model)
                found = any(Measured(task).apart(want, other(t.arrays), precision, bounds) for t, want in wants)
            except (NotRunnableError, RunFailedError):
                continue
            if found:
                seen += 1
            else:
                (hidden if inner else unseen).append(name)
    blind = [*hidden, *(unseen if len(unseen) > seen else ())]
    told = tuple(f"a different weight {name!r} would go unnoticed" for name in blind)
    power, known = Power(seen, seen + len(unseen) + len(hidden), told), result.power
    power = replace(power, noticed=known.noticed + power.noticed, tried=known.tried + power.tried, inputs=known.inputs)
    if blind:
        return replace(result, state="unverified", reason=f"{told[0]}, so little is proved; {TELL}", power=power)
    return replace(result, power=power)


def _damaged(path: Path, folder: Path) -> Iterator[tuple[str, bool, Path]]:
    """The model with one weight another one each time: its name, whether it is in an inner graph, the file."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    found = [(name, inner, tensor) for name, inner, tensor in _weights(model.graph, inner=False)]
    large = [entry for entry in found if int(np.prod(entry[2].dims)) >= _LEAST and not entry[1]]
    outer = large or [entry for entry in found if not entry[1]]
    chosen = (
        [outer[index] for index in sorted({*np.linspace(0, len(outer) - 1, _WEIGHTS).astype(int)})] if outer else []
    )
    random = np.random.default_rng(0)
    for number, (name, inner, tensor) in enumerate([*chosen, *[e for e in found if e[1]][: 2 * _WEIGHTS]]):
        before = onnx.TensorProto()
        before.CopyFrom(tensor)
        array = numpy_helper.to_array(tensor)
        scale = float(np.abs(array).max(initial=0.0)) or 1.0
        changed = array + (0.5 + random.random(array.shape)) * scale * random.choice([-1.0, 1.0], array.shape)
        tensor.CopyFrom(numpy_helper.from_array(changed.astype(array.dtype), tensor.name))
        file = folder / f"{number}.onnx"
        onnx.save(model, file)
        yield name, inner, file
        file.unlink()
        tensor.CopyFrom(before)


def _weights(graph: Any, *, inner: bool) -> Iterator[tuple[str, bool, Any]]:
    for tensor in graph.initializer:
        if tensor.data_type in (1, 10, 11):  # FLOAT, FLOAT16, DOUBLE
            yield tensor.name, inner, tensor
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and attribute.t.data_type in (1, 10, 11):
                yield node.output[0], inner, attribute.t
            if attribute.HasField("g"):
                yield from _weights(attribute.g, inner=True)

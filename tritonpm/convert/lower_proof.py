"""One lowering, in a process of its own (see `core.apart`): the model made older, and whether it answers as it did.

The original is run by onnxruntime where that loads it, else by ONNX's own reference.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.convert import runtimes
from tritonpm.convert.agreement import UnverifiableError, agreement
from tritonpm.convert.graph_values import graph_values
from tritonpm.convert.inputs import Clock
from tritonpm.convert.lower import LoweringSteps, NotLowerableError, NotRaisableError, chance, lower
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.convert.trials import Knowledge, trials
from tritonpm.core.apart import Report
from tritonpm.core.scratch import temporary
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Agreement, Format, Needs, Tensor, Values

SECONDS = 30.0  # after which no more inputs are tried
_WITHOUT = re.compile(r"find (?:an implementation|kernel) for (?:\w+\.)*(\w+)\(\d+\)")
_ROUNDS = 8  # of replacing operators that the runtime has no kernel for


def made(source: Path, target: Path, limits: Needs, run: bool, raised: bool) -> tuple[LoweringSteps, Run | None]:
    """The older model, without operators for which the runtime has no kernel; it loads, or nothing is run.

    Raises NotLowerableError, NotRaisableError, NotRunnableError.
    """
    without: frozenset[str] = frozenset()
    for _ in range(_ROUNDS):
        changes = lower(source, target, limits, without, raised=raised)
        if not run:
            return changes, None
        try:
            return changes, runtimes.load(Format.ONNX, target)
        except NotRunnableError as error:
            lacking = _WITHOUT.search(str(error))
            if lacking is None or lacking[1] in without:
                raise
            without |= {lacking[1]}
    raise NotRunnableError("onnxruntime has no kernels for its operators")


def reference(model: Path) -> Run:
    """The model run by ONNX's own reference: slow, and knows every operator. Raises NotRunnableError."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    try:
        with temporary("proof") as folder:  # onnx takes no weights from hard links, as which they lie here
            shutil.copytree(model.parent, folder, dirs_exist_ok=True)
            evaluator = ReferenceEvaluator(onnx.load(f"{folder}/{model.name}"))
    except Exception as error:  # it has no exceptions of its own
        raise NotRunnableError(f"ONNX's reference does not load it ({error})") from None

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            answers = evaluator.run(None, {name: runtimes.as_text(array) for name, array in inputs.items()})
        except Exception as error:
            raise RunFailedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
        return {name: np.asarray(got) for name, got in zip(evaluator.output_names, answers, strict=True)}

    return run


def _original(model: Path) -> tuple[Run, bool]:
    """The model as it came, and whether it is the runtime that will serve it which runs it."""
    try:
        return runtimes.load(Format.ONNX, model), True
    except NotRunnableError:
        return reference(model), False


def _proved(source: Path, target: Path, after: Run, request: Mapping[str, Any], changes: LoweringSteps) -> Agreement:
    """Whether both answer alike; at the ends of a type only where the same kernels must do so."""
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    said = {name: Values(**values) for name, values in request["values"].items()}
    samples = [load_npz(Path(path)) for path in request["samples"]]
    if operator := chance(target):
        return Agreement("unverified", f"its operator {operator} answers by chance")
    try:
        clock, (before, native) = Clock(SECONDS), _original(source)
        kinds = "FP32" if native and not changes.rewritten else "FP16"
        ground = Knowledge(inputs, said, graph_values(Format.ONNX, target))
        tried = trials(before, ground, samples, batches=(), precision=kinds, clock=clock)
        return agreement(before, after, tried, precision="FP32", clock=clock)
    except (NotRunnableError, UnverifiableError) as error:
        return Agreement("unverified", str(error))


def _loads(model: Path) -> bool:
    try:
        runtimes.load(Format.ONNX, model)
    except NotRunnableError:
        return False
    return True


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """The rewritten model beside the one that is asked about, and how; that it needs none; or why there can be none."""
    asked = json.loads(request)
    source = Path(asked["model"])
    target = source.with_name(f"lowered-{source.name}")
    try:
        raised = asked["old"] and asked["run"] and not _loads(source)
        if not (raised or asked["other"]):
            return json.dumps({"fits": True}).encode()
        changes, after = made(source, target, Needs(**asked["limits"]), asked["run"], raised)
    except NotRaisableError as error:
        return json.dumps({"refused": f"{error}"}).encode()
    except NotLowerableError as error:
        return json.dumps({"operator": error.operator, "needs": error.needs, "domain": error.domain}).encode()
    except NotRunnableError as error:
        return json.dumps({"refused": f"what it is rewritten to could not be proved equal: {error}"}).encode()
    proof = Agreement("unverified", "it is too large") if after is None else Agreement("verified")
    if after is not None and (changes.kept or changes.rewritten):
        proof = _proved(source, target, after, asked, changes)
    if proof.state == "failed":
        return json.dumps({"refused": f"what it is rewritten to answers otherwise: {proof.reason}"}).encode()
    if proof.state == "unverified" and changes.rewritten:
        return json.dumps({"refused": f"what it is rewritten to could not be proved equal: {proof.reason}"}).encode()
    return json.dumps({"model": str(target), "how": changes.sentence, "proof": asdict(proof)}).encode()

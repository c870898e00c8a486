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
from tritonpm.convert.rewrite import unbound
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.convert.trials import Knowledge, trials
from tritonpm.core.apart import Report
from tritonpm.core.scratch import temporary
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Agreement, Format, Needs, Tensor, Values
from tritonpm.package.needs import operators_without

SECONDS = 30.0  # after which no more inputs are tried
_WITHOUT = re.compile(r"find (?:an implementation|kernel) for (?:\w+\.)*(\w+)\(\d+\)")
_ROUNDS = 8  # of replacing operators that the runtime has no kernel for


def made(
    source: Path, target: Path, limits: Needs, run: bool, raised: bool, onnxruntime: str
) -> tuple[LoweringSteps, Run | None]:
    """The older model, without operators for which the runtime has no kernel; it loads, or nothing is run.

    Raises NotLowerableError, NotRaisableError, NotRunnableError.
    """
    without: frozenset[str] = frozenset()
    for _ in range(_ROUNDS):
        changes = lower(source, target, limits, without, raised=raised, onnxruntime=onnxruntime)
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


def _where_both_run(before: Run, after: Run) -> Run:
    """ONNX's reference for what the runtime takes at all: of a number that is none it makes something."""

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        after(inputs)
        return before(inputs)

    return run


def _proved(source: Path, target: Path, after: Run, request: Mapping[str, Any], changes: LoweringSteps) -> Agreement:
    """Whether both answer alike; at the ends of a type only where the same kernels must do so."""
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    said = {name: Values(**values) for name, values in request["values"].items()}
    samples = [load_npz(Path(path)) for path in request["samples"]]
    if operator := chance(target):
        return Agreement("unverified", f"its operator {operator} answers by chance")
    try:
        clock, (before, native) = Clock(SECONDS), _original(source)
        before = before if native else _where_both_run(before, after)
        kinds = "FP32" if native and not changes.rewritten else "FP16"
        ground = Knowledge(inputs, said, graph_values(Format.ONNX, target))
        tried = trials(before, ground, samples, batches=(), precision=kinds, clock=clock)
        return agreement(before, after, tried, precision="FP32", clock=clock)
    except (NotRunnableError, UnverifiableError) as error:
        return Agreement("unverified", str(error))


def _served(model: Path, onnxruntime: str) -> bool:
    return not operators_without(model, onnxruntime)


def _loads(model: Path) -> bool:
    try:
        runtimes.load(Format.ONNX, model)
    except NotRunnableError:
        return False
    return True


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """The rewritten model beside the one that is asked about, and how; that it needs none; or why there can be none.

    One that is rewritten for its kernels alone stays as it is where that does not succeed, or this runtime serves it.
    """
    asked = json.loads(request)
    source = Path(asked["model"])
    if asked["bounded"]:
        target = source.with_name(f"lowered-{source.name}")
        unbound(source, target)
        how = f"the bounds of {', '.join(asked['bounded'])} are left open"
        proof = asdict(Agreement("verified"))
        return json.dumps({"model": str(target), "opset": 0, "kernels": False, "how": how, "proof": proof}).encode()
    loads = asked["run"] and not asked["other"] and (asked["old"] or asked["here"]) and _loads(source)
    raised = asked["old"] and asked["run"] and not loads
    kernels = not (raised or asked["other"])
    if kernels and ((loads and asked["here"]) or not asked["run"] or not asked["onnxruntime"]):
        return json.dumps({"fits": True}).encode()
    said = _rewritten(source, asked, raised)
    if kernels and not ("model" in said and said["rewritten"] and _served(Path(said["model"]), asked["onnxruntime"])):
        return json.dumps({"fits": True}).encode()
    return json.dumps({**said, "kernels": kernels}).encode()


def _rewritten(source: Path, asked: Mapping[str, Any], raised: bool) -> dict[str, Any]:
    """The rewritten model and how, or why there can be none."""
    target = source.with_name(f"lowered-{source.name}")
    try:
        changes, after = made(source, target, Needs(**asked["limits"]), asked["run"], raised, asked["onnxruntime"])
    except NotRaisableError as error:
        return {"refused": f"{error}"}
    except NotLowerableError as error:
        return {"operator": error.operator, "needs": error.needs, "domain": error.domain}
    except NotRunnableError as error:
        return {"refused": f"what it is rewritten to could not be proved equal: {error}"}
    proof = Agreement("unverified", "it is too large") if after is None else Agreement("verified")
    if after is not None and (changes.kept or changes.rewritten):
        proof = _proved(source, target, after, asked, changes)
    if proof.state == "failed":
        return {"refused": f"what it is rewritten to answers otherwise: {proof.reason}"}
    if proof.state == "unverified" and changes.rewritten:
        return {"refused": f"what it is rewritten to could not be proved equal: {proof.reason}"}
    rewritten = bool(changes.kept or changes.rewritten)
    made_of = {"model": str(target), "opset": changes.opset, "rewritten": rewritten}
    return {**made_of, "how": changes.sentence, "proof": asdict(proof)}

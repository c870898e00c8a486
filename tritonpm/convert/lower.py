"""An ONNX model made older: of an IR and opsets that a Triton release takes, where it is newer than those.

The stamps alone where nothing newer is used; an operator whose newer version only takes more keeps its name; one that
is new is replaced by what ONNX itself defines it to be, or by ONNX's version converter. What comes out must answer as
the original does, which is run by onnxruntime where that loads it, else by ONNX's own reference.
It all happens in a process of its own (see `core.apart`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tritonpm.convert import runtimes
from tritonpm.convert.agreement import UnverifiableError, agreement
from tritonpm.convert.graph_values import graph_values
from tritonpm.convert.inputs import Clock
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.convert.trials import Ground, trials
from tritonpm.core.apart import Report
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Agreement, Format, Needs, Tensor, Values

SECONDS = 60.0  # after which no more inputs are tried
_ONNX = ("", "ai.onnx")
_ML = "ai.onnx.ml"
_ROUNDS = 8  # of replacing operators by others: ONNX defines none deeper


class NotLowerableError(Exception):
    """An operator has no older form: `operator`, the opset of `domain` that it needs, and why."""

    def __init__(self, operator: str, needs: int, domain: str = "", why: str = "") -> None:
        super().__init__(why or f"its operator {operator} needs opset {needs}{f' of {domain}' if domain else ''}")
        self.operator, self.needs, self.domain = operator, needs, domain


@dataclass
class _Changes:
    """What was done to a model, for its record."""

    kept: dict[str, None] = field(default_factory=dict)  # operators that took more in their newer version
    expanded: dict[str, None] = field(default_factory=dict)
    converted: bool = False

    @property
    def sentence(self) -> str:
        """How."""
        parts = [
            f"{', '.join(self.expanded)} replaced by what ONNX defines it to be" if self.expanded else "",
            "by ONNX's version converter" if self.converted else "",
        ]
        done = "; ".join(filter(None, parts))
        return done or ("its operators are the same" if self.kept else "nothing newer is used")


def lowered(source: Path, target: Path, limits: Needs) -> _Changes:
    """Write the model of `source` as `target`, beside it, within `limits`. Raises NotLowerableError."""
    import onnx

    model = onnx.load(source, load_external_data=False)
    changes = _Changes()
    model = _inlined(model, limits)
    for _ in range(_ROUNDS):
        newer = _newer(model, limits)
        stuck = {node.op_type: node for node in newer if not _keeps(node, model, limits)}
        if not stuck:
            changes.kept.update(dict.fromkeys(node.op_type for node in newer))
            break
        expandable = [name for name, node in stuck.items() if _defined(node, model)]
        if not expandable:
            model = _converted(model, limits, stuck)
            changes.converted = True
            continue
        model = onnx.inliner.inline_selected_functions(
            model, [(stuck[name].domain, name) for name in expandable], inline_schema_functions=True
        )
        changes.expanded.update(dict.fromkeys(expandable))
    for node in changes.kept and _newer(model, limits):
        _settle(node, model, limits)
    _stamp(model, limits)
    onnx.save(model, target)
    return changes


def _limit(domain: str, limits: Needs) -> int:
    return limits.opset if domain in _ONNX else limits.ml


def _imported(model: Any) -> dict[str, int]:
    """The opset of each domain."""
    return {("" if opset.domain in _ONNX else opset.domain): opset.version for opset in model.opset_import}


def _inlined(model: Any, limits: Needs) -> Any:
    """Without functions of its own, where these or the model are of newer opsets."""
    import onnx

    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def _schema(operator: str, opset: int, domain: str) -> Any:
    """Of an operator in that opset; None where it has none."""
    from onnx import defs

    try:
        return defs.get_schema(operator, opset, "" if domain in _ONNX else domain)
    except defs.SchemaError:
        return None


def _newer(model: Any, limits: Needs) -> list[Any]:
    """The nodes whose operator has a newer version than the limit's."""
    opsets, found = _imported(model), []
    for node in _nodes(model.graph):
        if node.domain not in (*_ONNX, _ML):
            continue
        opset = opsets.get("" if node.domain in _ONNX else node.domain, 0)
        schema = _schema(node.op_type, opset, node.domain)
        if schema is not None and schema.since_version > _limit(node.domain, limits):
            found.append(node)
    return found


def _keeps(node: Any, model: Any, limits: Needs) -> bool:
    """Whether the older version of the operator is the same one for what this node uses of it."""
    old = _schema(node.op_type, _limit(node.domain, limits), node.domain)
    if old is None or old.deprecated:
        return False
    new = _schema(node.op_type, _imported(model)["" if node.domain in _ONNX else node.domain], node.domain)
    given = {attribute.name: attribute for attribute in node.attribute}
    known = all(name in old.attributes or _is_default(given[name], new) for name in given)
    fits = old.min_input <= len(node.input) <= old.max_input and old.min_output <= len(node.output) <= old.max_output
    required = all(name in given for name, attribute in old.attributes.items() if attribute.required)
    return known and fits and required


def _is_default(attribute: Any, schema: Any) -> bool:
    """Whether a node says no more than what its operator takes without it."""
    from onnx import helper

    described = schema.attributes.get(attribute.name)
    if described is None or not described.default_value.name:
        return False
    return bool(helper.get_attribute_value(attribute) == helper.get_attribute_value(described.default_value))


def _settle(node: Any, model: Any, limits: Needs) -> None:
    """Say what the newer version takes unsaid where the older one takes something else, and no more than that knows."""
    old = _schema(node.op_type, _limit(node.domain, limits), node.domain)
    new = _schema(node.op_type, _imported(model)["" if node.domain in _ONNX else node.domain], node.domain)
    given = {attribute.name for attribute in node.attribute}
    for name, described in new.attributes.items():
        before = old.attributes.get(name)
        if before is not None and name not in given and described.default_value != before.default_value:
            node.attribute.append(described.default_value)
    surplus = [attribute for attribute in node.attribute if attribute.name not in old.attributes]
    for attribute in surplus:
        node.attribute.remove(attribute)


def _defined(node: Any, model: Any) -> bool:
    """Whether ONNX says what the operator is, in terms of others."""
    schema = _schema(node.op_type, _imported(model)["" if node.domain in _ONNX else node.domain], node.domain)
    return bool(schema.has_function or schema.has_context_dependent_function)


def _converted(model: Any, limits: Needs, stuck: Mapping[str, Any]) -> Any:
    """By ONNX's version converter. Raises NotLowerableError: it does not know the way, or does not get there."""
    from onnx import version_converter

    name, node = next(iter(stuck.items()))
    needed = _schema(name, _imported(model)["" if node.domain in _ONNX else node.domain], node.domain).since_version
    refusal = NotLowerableError(name, needed, "" if node.domain in _ONNX else node.domain)
    if node.domain == _ML or _imported(model)[""] <= limits.opset:
        raise refusal
    try:
        made = version_converter.convert_version(model, limits.opset)
    except Exception as error:  # the converter's own have no base, and are of C++
        raise refusal from error
    if len(made.graph.initializer) != len(model.graph.initializer) and any(t.external_data for t in _tensors(model)):
        raise refusal
    return made


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer


def _stamp(model: Any, limits: Needs) -> None:
    model.ir_version = min(model.ir_version, limits.ir)
    for opset in model.opset_import:
        if opset.domain in (*_ONNX, _ML):
            opset.version = min(opset.version, _limit(opset.domain, limits))


def reference(model: Path) -> Run:
    """The model run by ONNX's own reference: slow, and knows every operator. Raises NotRunnableError."""
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(str(model))
    except Exception as error:  # it has no exceptions of its own
        raise NotRunnableError(f"ONNX's reference does not load it ({error})") from None

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        import numpy as np

        try:
            answers = evaluator.run(None, dict(inputs))
        except Exception as error:
            raise RunFailedError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
        return {name: np.asarray(got) for name, got in zip(evaluator.output_names, answers, strict=True)}

    return run


def _original(model: Path) -> tuple[Run, str]:
    """The model as it came, and who runs it."""
    try:
        return runtimes.load(Format.ONNX, model), "ONNX Runtime"
    except NotRunnableError:
        return reference(model), "ONNX's reference"


def _agreement(source: Path, target: Path, request: Mapping[str, Any]) -> tuple[Agreement, str]:
    """Whether both answer alike, and who ran the original."""
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    said = {name: Values(**values) for name, values in request["values"].items()}
    samples = [load_npz(Path(path)) for path in request["samples"]]
    after, who = runtimes.load(Format.ONNX, target), ""
    try:
        clock = Clock(SECONDS)
        before, who = _original(source)
        ground = Ground(inputs, said, graph_values(Format.ONNX, target))
        tried = trials(before, ground, samples, batches=(), precision="FP32", clock=clock)
        return agreement(before, after, tried, precision="FP32", clock=clock), who
    except (NotRunnableError, UnverifiableError) as error:
        return Agreement("unverified", str(error)), who


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """The lowered model beside the one that is asked about, and how; or what cannot be lowered."""
    asked = json.loads(request)
    source, limits = Path(asked["model"]), Needs(**asked["limits"])
    target = source.with_name(f"lowered-{source.name}")
    try:
        changes = lowered(source, target, limits)
        known = not (changes.expanded or changes.converted or changes.kept)
        proof = Agreement("verified") if known else _agreement(source, target, asked)[0]
    except NotLowerableError as error:
        return json.dumps({"operator": error.operator, "needs": error.needs, "domain": error.domain}).encode()
    except NotRunnableError as error:
        return json.dumps({"refused": f"made older, {error}"}).encode()
    if proof.state == "failed":
        return json.dumps({"refused": f"made older, it answers otherwise: {proof.reason}"}).encode()
    if proof.state == "unverified" and (changes.expanded or changes.converted):
        return json.dumps({"refused": f"made older, it could not be proved equal: {proof.reason}"}).encode()
    return json.dumps({"model": str(target), "how": changes.sentence, "proof": asdict(proof)}).encode()

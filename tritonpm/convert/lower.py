"""An ONNX model made older: of an IR and opsets that a Triton release takes, where it is newer than those. Or newer,
where it is older than ONNX Runtime's kernels; and with sizes of 0, which Triton's config cannot say, left open.

The stamps alone where nothing newer is used; an operator whose newer version only takes more keeps its name; one that
is new is replaced by what it is in terms of others (`definitions`); of types that the older one does not take, or that
the runtime has no kernel for, it gets wider ones (`widen`), or an older version; at last ONNX's version converter is
tried. Whether what comes out answers as before, `lower_proof` must say.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonpm.convert.definitions import definition, means_more
from tritonpm.convert.widen import is_taken, may_be_taken, widen
from tritonpm.core.types import Needs
from tritonpm.package.opsets import ML, ONNX, Opsets, graphs, limit, say_defaults, settle

OLDEST_OPSET = 7  # of which ONNX Runtime has all kernels; of older ones it has some

_OURS = "tritonpm"  # the domain of functions that are at once written out again
_DRAWING = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_ROUNDS = 12  # of replacing operators by others: ONNX defines none deeper


class NotLowerableError(Exception):
    """An operator has no older form: `operator` of `domain` that needs the opset `needs`."""

    def __init__(self, operator: str, needs: int, domain: str) -> None:
        super().__init__(operator)
        self.operator, self.needs, self.domain = operator, needs, domain


class NotRaisableError(Exception):
    """A model is too old, and cannot be made newer."""


@dataclass
class LoweringSteps:
    """What was done to a model, for its record."""

    kept: set[str] = field(default_factory=set)  # operators that take more in their newer version
    expanded: set[str] = field(default_factory=set)
    cast: set[str] = field(default_factory=set)
    converted: bool = False
    opset: int = 0  # that it is of now
    opened: set[str] = field(default_factory=set)  # inputs and outputs that had a size of 0

    @property
    def rewritten(self) -> bool:
        """Whether its graph is another one."""
        return bool(self.expanded or self.cast or self.converted)

    @property
    def sentence(self) -> str:
        """How it was made older."""
        parts = [
            f"{', '.join(sorted(self.expanded))} replaced by what ONNX defines it to be" if self.expanded else "",
            f"{', '.join(sorted(self.cast))} run in a wider type" if self.cast else "",
            "rewritten by ONNX's version converter" if self.converted else "",
            f"the size 0 of {', '.join(sorted(self.opened))} is left open" if self.opened else "",
        ]
        plain = "its operators are the same" if self.kept else "nothing newer is used"
        return "; ".join(filter(None, parts)) or plain


def lower(
    source: Path,
    target: Path,
    limits: Needs,
    without: frozenset[str] = frozenset(),
    *,
    raised: bool = False,
    onnxruntime: str = "",
) -> LoweringSteps:
    """Write the model of `source` as `target`, beside it, within `limits`; operators `without` are replaced too.

    `raised`: it is of an older opset than `OLDEST_OPSET`, and is made one of that first; `onnxruntime`: the version
    that is to have a kernel on a CPU for every operator, as far as that can be.
    Raises NotLowerableError, NotRaisableError.
    """
    import onnx
    from onnx import inliner

    model, changes = onnx.load(source, load_external_data=False), LoweringSteps()
    if raised:
        model, changes.converted = _raised(model), True
    changes.opened |= _opened(model)
    model = inliner.inline_local_functions(model) if model.functions else model
    kept = model.SerializeToString()
    steps = replace(changes, opset=limits.opset)
    try:
        made = _within(model, limits, without, onnxruntime, steps, deeper=True)
    except NotLowerableError:
        if steps.opset == limits.opset:
            raise
        steps = replace(changes, opset=limits.opset, kept=set(), expanded=set(), cast=set())
        made = _within(type(model).FromString(kept), limits, without, onnxruntime, steps, deeper=False)
    onnx.save(made, target)
    return steps


def _within(
    model: Any, limits: Needs, without: frozenset[str], onnxruntime: str, changes: LoweringSteps, *, deeper: bool
) -> Any:
    """The model within these limits, and how; `deeper`: of an opset that is older still, where that one has kernels."""
    for _ in range(_ROUNDS):
        opsets = Opsets.of(model, limits)
        if wider := widen(opsets, onnxruntime):
            changes.cast |= wider
            continue
        newer = opsets.newer()
        unsaid = [node for node in newer if not opsets.says_the_same(node) or means_more(opsets, node)]
        untaken = [node for node in newer if opsets.says_the_same(node) and not is_taken(opsets, node, "")]
        lacking = [node for node in opsets.nodes() if not is_taken(opsets, node, onnxruntime)]
        told = [node for node in opsets.nodes() if node.op_type in without]
        if defined := {(n.domain, n.op_type) for n in (*unsaid, *untaken, *lacking, *told) if definition(opsets, n)}:
            model = expanded(model, opsets, defined)
            changes.expanded |= {name for _, name in defined}
        elif unsaid:
            model, changes.converted = _converted(opsets, unsaid[0]), True
        elif untaken:
            raise _refusal(opsets, untaken[0])
        elif deeper and (opset := _older(opsets, lacking, onnxruntime)):
            limits = replace(limits, opset=opset)
            changes.opset = opset
        else:  # what the runtime still lacks it will tell
            break
    else:
        raise _refusal(opsets, next(iter((*unsaid, *untaken, *lacking, *told))))
    for node in newer:
        settle(node, opsets.old(node), opsets.new(node))
        changes.kept.add(node.op_type)
    _stamp(model, limits)
    return model


def _older(opsets: Opsets, lacking: list[Any], onnxruntime: str) -> int:
    """An opset for whose versions of these operators there are kernels; 0 where there is none."""
    versions = [opsets.old(node).since_version for node in lacking if node.domain in ONNX]
    if not versions or len(versions) < len(lacking) or min(versions) <= OLDEST_OPSET:
        return 0
    older = replace(opsets, limits=replace(opsets.limits, opset=min(versions) - 1))
    return older.limits.opset if all(may_be_taken(older, node, onnxruntime) for node in lacking) else 0


def expanded(model: Any, opsets: Opsets, names: set[tuple[str, str]]) -> Any:
    """With the operators of these (domain, name) replaced by what ONNX defines them to be."""
    from onnx import inliner

    for graph in graphs(model.graph):
        for number, node in enumerate(graph.node):
            if (node.domain, node.op_type) in names and (function := definition(opsets, node)) is not None:
                say_defaults(node, opsets.new(node))
                function.domain, function.name = _OURS, f"{node.op_type}_{len(model.functions)}"
                for opset in function.opset_import:  # else it is not written out
                    opset.version = opsets.imported.get(opset.domain, opset.version)
                model.functions.append(function)
                graph.node[number].domain, graph.node[number].op_type = _OURS, function.name
    if not any(opset.domain == _OURS for opset in model.opset_import):
        model.opset_import.add(domain=_OURS, version=1)
    made = inliner.inline_local_functions(model)
    for opset in [opset for opset in made.opset_import if opset.domain == _OURS]:
        made.opset_import.remove(opset)
    return made


def chance(model: Path) -> str:
    """An operator of the model whose answers differ from run to run; "" where it has none."""
    import onnx

    nodes = (node for graph in graphs(onnx.load(model, load_external_data=False).graph) for node in graph.node)
    training = 3  # inputs of a Dropout that may drop
    drawn = (n.op_type for n in nodes if n.op_type in _DRAWING or (n.op_type == "Dropout" and len(n.input) >= training))
    return next(drawn, "")


def _refusal(opsets: Opsets, node: Any) -> NotLowerableError:
    return NotLowerableError(node.op_type, opsets.new(node).since_version, "" if node.domain in ONNX else node.domain)


def _converted(opsets: Opsets, node: Any) -> Any:
    """By ONNX's version converter. Raises NotLowerableError: it does not know the way."""
    from onnx import version_converter

    if node.domain not in ONNX or opsets.imported[""] <= opsets.limits.opset or _has_data_outside(opsets.model):
        raise _refusal(opsets, node)
    try:
        return version_converter.convert_version(opsets.model, opsets.limits.opset)
    except Exception as error:  # the converter's own are of C++ and have no base
        raise _refusal(opsets, node) from error


def _raised(model: Any) -> Any:
    """By ONNX's version converter, of the oldest opset that is served. Raises NotRaisableError."""
    from onnx import version_converter

    if _has_data_outside(model):
        raise NotRaisableError("its weights lie in files of their own")
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # the converter's own are of C++ and have no base
        raise NotRaisableError(f"ONNX's version converter does not know how ({error})") from None


def _opened(model: Any) -> set[str]:
    """Give the sizes of 0 of what is sent and answered a name, as of any size. The names of those tensors."""
    opened = set()
    for tensor in (*model.graph.input, *model.graph.output):
        for place, size in enumerate(tensor.type.tensor_type.shape.dim):
            if size.HasField("dim_value") and size.dim_value == 0:
                size.dim_param = f"{tensor.name}_{place}"
                opened.add(tensor.name)
    return opened


def _has_data_outside(model: Any) -> bool:
    """Whether weights lie in other files, of which the converter loses track."""
    return any(tensor.external_data for graph in graphs(model.graph) for tensor in graph.initializer)


def _stamp(model: Any, limits: Needs) -> None:
    model.ir_version = min(model.ir_version, limits.ir)
    for opset in model.opset_import:
        if opset.domain in (*ONNX, ML):
            opset.version = min(opset.version, limit(opset.domain, limits))

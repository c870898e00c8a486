"""Asks the proofs about models that are known to be wrong and right, all of them in one process."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from tests.support.proof_oracle.models import Case, cases
from tritonpm.convert import trial
from tritonpm.convert.batch import LARGEST_BATCH
from tritonpm.convert.conversion import Artefact, Options, Unwatched
from tritonpm.convert.narrowed import narrowed
from tritonpm.convert.requests import Convert, ModelFile
from tritonpm.convert.worker import proved
from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Format
from tritonpm.package import read_signature


def written(path: Path, graph: str, weights: dict[str, np.ndarray]) -> Path:
    """The model as a file, with the weights that its text uses."""
    domains = '"" : 20, "ai.onnx.ml" : 3' if "StringConcat" in graph else '"" : 17'
    model = onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{domains}]> {graph}")
    used = {name for node in _nodes(model.graph) for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items() if name in used
    )
    onnx.save(model, path)
    return path


def _nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def verdict(case: Case, folder: Path) -> tuple[bool, str]:
    """Whether the proof takes the model for right, and its words."""
    model = written(folder / "model.onnx", case.graph, dict(case.weights))
    format, signature = read_signature(model)
    if case.kind in ("batch", "static"):
        request = {
            "format": format.value, "model": str(model), "largest": LARGEST_BATCH, "samples": [],
            "inputs": [[t.name, t.dtype, t.shape, t.optional] for t in signature.inputs],
            "rewrite": case.kind == "static",
        }  # fmt: skip
        answer = trial.attempt(request, folder)
        return answer["verdict"] == "proved", answer["reason"]
    if case.kind == "openvino":
        return _converted(model, folder, case)
    other = written(folder / "converted.onnx", case.converted, dict(case.weights))
    request_ = Convert(events="", memory=0, model=ModelFile(format, str(model), signature), options=Options(
        precision=case.precision, task=case.task, max_batch_size=LARGEST_BATCH))  # fmt: skip
    result = proved(Artefact(format, model, signature), Artefact(Format.ONNX, other, signature), request_)
    return result.state == "verified", f"{result.state}: {result.reason or result.power.words}"


def _converted(model: Path, folder: Path, case: Case) -> tuple[bool, str]:
    """What OpenVINO makes of it: a wrong one asked for by name, since else the graph alone refuses it; a right one not."""
    from tritonpm.convert.openvino_ir import convert

    format, signature = read_signature(model)
    reason = narrowed(format, model)
    if not case.wrong and reason:
        return False, reason
    (folder / "made").mkdir()
    original = Artefact(format, model, signature)
    options = Options(max_batch_size=LARGEST_BATCH)
    try:
        made = convert(original, options, None, folder / "made", Unwatched()).artefact
    except TritonpmError as error:
        return False, str(error)
    request = Convert(events="", memory=0, model=ModelFile(format, str(model), signature), options=options)
    result = proved(original, made, request)
    return result.state == "verified", f"{result.state}: {result.reason or result.power.words}"


def judged(chosen: Iterable[Case]) -> tuple[dict[bool, tuple[int, int]], list[str]]:
    """(as they should, in all) of the wrong and of the right ones, and a line for each that was judged otherwise."""
    counts, lines = {True: (0, 0), False: (0, 0)}, []
    for case in chosen:
        folder = Path(tempfile.mkdtemp(prefix="oracle-"))
        try:
            (folder / "model").mkdir()
            taken, words = verdict(case, folder / "model")
        except Exception as error:  # a case that cannot even be asked about is no success
            taken, words = case.wrong, f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        good, total = counts[case.wrong]
        counts[case.wrong] = good + (taken != case.wrong), total + 1
        if taken == case.wrong:
            lines.append(f"{'MISSED' if case.wrong else 'REFUSED'} {case.kind}: {case.name}: {words}")
        elif VERBOSE:
            lines.append(f"{'caught' if case.wrong else 'passed'} {case.kind}: {case.name}: {words}")
    return counts, lines


VERBOSE = False


def main() -> None:
    """Ask about all, or those whose kind or name holds a word of the command line."""
    global VERBOSE
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-v", "--verbose", action="store_true")
    asked = parser.parse_args()
    VERBOSE = asked.verbose
    chosen = [case for case in cases() if not asked.words or any(w in f"{case.kind}: {case.name}" for w in asked.words)]
    counts, lines = judged(chosen)
    print("\n".join(lines))
    (caught, wrong), (passed, right) = counts[True], counts[False]
    print(f"{caught} of {wrong} wrong ones caught, {passed} of {right} right ones passed")
    sys.exit(caught < wrong or passed < right)


if __name__ == "__main__":
    main()

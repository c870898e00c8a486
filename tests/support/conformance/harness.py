"""One ONNX backend test through the whole of tritonpm and the real Triton, and the verdict."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.support.conformance import onnx_cases
from tests.support.ports import free_ports
from tests.support.workspaces import opened
from tritonpm.convert import runtimes
from tritonpm.convert.lower import chance
from tritonpm.core.errors import TritonpmError
from tritonpm.core.tensors import compare
from tritonpm.core.types import Format
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.remove import remove
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect, own_server
from tritonpm.operations.stop import stop
from tritonpm.operations.unload import unload

# What Triton's protocol or config cannot say, whatever the runtime could do: (the sentence, why it is forced).
TRITON = (
    (r"which Triton has no type for|type .* that Triton|no Triton type|dtype", "Triton has no such data type"),
    (r"only the native backend can serve", "BF16 needs the container's native backend"),
    (r"which Triton cannot say", "Triton's config has no size 0, and its native backend takes no other for it"),
    (r"sequence|optional|map\b|sparse", "Triton's protocol carries tensors only"),
)


_RANDOM = "random: dtypes and shapes compared"


@dataclass(frozen=True)
class Verdict:
    """`verdict` is passed, refused or wrong; `by` says who forces a refusal: triton, runtime, or nobody."""

    name: str
    verdict: str
    by: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, str]:
        """For the log."""
        return asdict(self)


@contextmanager
def serving(scratch: Path | None = None) -> Iterator[Context]:
    """A fresh workspace with its server."""
    root = Path(tempfile.mkdtemp(prefix="conformance-", dir=scratch))
    try:
        init(root)
        server = opened(root)
        # Servers that start at the same time would all take the usual ports for free.
        ports = dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(3), strict=True))
        serve(server, None, detach=False, timeout=120, **ports)
        try:
            yield server
        finally:
            stop(server, 40)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def alive(server: Context) -> bool:
    """Whether the server is still there."""
    own = own_server(server)
    return own is not None and own.alive


def run(server: Context, name: str) -> Verdict:
    """Import the case's model, load it, infer over both protocols, compare, and leave nothing behind."""
    try:
        case = onnx_cases.load(name)
    except onnx_cases.NotTensorsError as error:
        return Verdict(name, "refused", "triton", f"Triton's protocol carries tensors only: {error}")
    try:
        answers = list(_served(server, case))
    except TritonpmError as error:
        if not alive(server):
            return Verdict(name, "wrong", reason=f"the server died: {error}")
        return _refused(case, re.sub(r"\S*/conformance-\w+/\S*/", "", str(error)))
    return _judged(case, answers)


def _served(server: Context, case: onnx_cases.Case) -> Iterator[list[dict[str, Any]]]:
    """The answers over HTTP and gRPC for each set of inputs."""
    with tempfile.TemporaryDirectory(prefix="conformance-model-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
        import_package(server, path, name="case")
    try:
        # The cases bring their own inputs: made-up ones (the probe) say nothing more.
        load(server, "case", probe=False, timeout=120)
        for protocol in ("http", "grpc"):
            with connect(server, protocol) as client:
                yield [client.infer("case", {n: sent(a) for n, a in given.items()}) for given, _ in case.sets]
    finally:
        unload(server, "case")
        remove(server, "case")


def sent(array: Any) -> Any:
    """As Triton carries it: text as bytes, a scalar as one element."""
    array = np.atleast_1d(array)
    if array.dtype.kind not in "OSU":
        return array
    flat = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel()]
    return np.array(flat, dtype=np.object_).reshape(array.shape)


def _judged(case: onnx_cases.Case, answers: list[list[dict[str, Any]]]) -> Verdict:
    wrong = ""
    for protocol in answers:
        for (_, want), got in zip(case.sets, protocol, strict=True):
            wrong = wrong or compare({n: sent(a) for n, a in want.items()}, got, rtol=case.rtol, atol=case.atol)
    if not wrong:
        return Verdict(case.name, "passed")
    try:
        first, second = bare(case), bare(case)
    except Exception as error:
        if _by_chance(case) and all(map(_alike, (want for _, want in case.sets), answers[0])):
            return Verdict(case.name, "passed", reason=_RANDOM)
        return Verdict(case.name, "wrong", reason=f"{wrong}; onnxruntime alone fails: {error}")
    served = answers[0]
    if _same(first, served, case):
        return Verdict(
            case.name, "refused", "runtime", f"onnxruntime alone answers otherwise than ONNX expects: {wrong}"
        )
    if not _same(first, second, case) and _shapes(first) == _shapes(served):
        return Verdict(case.name, "passed", reason=_RANDOM)
    return Verdict(case.name, "wrong", reason=wrong)


def _by_chance(case: onnx_cases.Case) -> bool:
    """Whether an operator of the model draws numbers."""
    with tempfile.TemporaryDirectory(prefix="conformance-chance-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
        return bool(chance(path))


def _alike(want: Mapping[str, Any], got: Mapping[str, Any]) -> bool:
    return _shapes([{name: sent(array) for name, array in want.items()}]) == _shapes([got])


def _refused(case: onnx_cases.Case, reason: str) -> Verdict:
    """Whether somebody else than us forces the refusal."""
    for pattern, why in TRITON:
        if re.search(pattern, reason):
            return Verdict(case.name, "refused", "triton", f"{why}: {reason}")
    try:
        bare(case)
    except Exception as error:
        return Verdict(case.name, "refused", "runtime", plain(error))
    return Verdict(case.name, "refused", "nobody", reason)


def plain(error: Exception) -> str:
    """What onnxruntime says, without where in its source it says it."""
    said = re.sub(r"/onnxruntime_src/\S+ .*?\) (?=[A-Z\[])", "", " ".join(str(error).split()))
    return said.removeprefix("[ONNXRuntimeError] : ")[:200]


def bare(case: onnx_cases.Case) -> list[dict[str, Any]]:
    """What onnxruntime alone answers. Raises whatever it raises."""
    import onnxruntime

    if has_bfloat16(case):
        return _bare_in_bfloat16(case)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = case.model.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return [{n: sent(a) for n, a in zip(names, session.run(names, dict(given)), strict=True)} for given, _ in case.sets]


def has_bfloat16(case: onnx_cases.Case) -> bool:
    """Whether a tensor that is sent or answered is of that type."""
    tensors = (*case.model.graph.input, *case.model.graph.output)
    return any(value.type.tensor_type.elem_type == TensorProto.BFLOAT16 for value in tensors)


def _bare_in_bfloat16(case: onnx_cases.Case) -> list[dict[str, Any]]:
    """Which Python's side of onnxruntime knows as its own values only."""
    with tempfile.TemporaryDirectory(prefix="conformance-bare-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(case.model.SerializeToString())
        run = runtimes.load(Format.ONNX, path)
        return [{name: sent(array) for name, array in run(given).items()} for given, _ in case.sets]


def _same(expected: list[dict[str, Any]], actual: list[dict[str, Any]], case: onnx_cases.Case) -> bool:
    return not any(compare(a, b, rtol=case.rtol, atol=case.atol) for a, b in zip(expected, actual, strict=True))


def _shapes(answers: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: (array.shape, array.dtype) for name, array in answer.items()} for answer in answers]

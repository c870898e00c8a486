"""One trial of a batch axis, in a process of its own (see `core.apart`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tritonpm.convert import rewrite, runtimes, verify
from tritonpm.convert.batch import LOADED
from tritonpm.convert.running import NotRunnableError, StatefulError
from tritonpm.core.apart import Report
from tritonpm.core.errors import PackageError
from tritonpm.core.sandbox import says_out_of_memory
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Format, Tensor

_BEYOND = {"verdict": "beyond", "reason": "needs more memory than it may have"}


def describe(model: Path) -> dict[str, Any]:
    """What the runtime infers of an ONNX model's outputs."""
    try:
        return {"outputs": runtimes.output_shapes(model)}
    except NotRunnableError as error:
        return _BEYOND if says_out_of_memory(str(error)) else {}  # the proof will say it


def attempt(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The verdict: proved, refuted (it runs, and does not batch), unrun or beyond its limits, with the reason."""
    format, model, rows = Format(request["format"]), Path(request["model"]), request["rows"]
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    try:
        original = runtimes.load(format, model)
    except NotRunnableError as error:
        return _BEYOND if says_out_of_memory(str(error)) else {"verdict": "unrun", "reason": str(error)}
    except StatefulError as error:
        return {"verdict": "refuted", "reason": str(error)}
    (folder / LOADED).touch()
    try:
        data = verify.runnable_rows(original, inputs, _samples(request["samples"], inputs), rows)
        if not request["rewrite"]:
            verify.require_rows(original, original, data)
            return _proved(rows, "")
        rewritten = rewrite.make_batchable(format, model)
        verify.require_rows(original, runtimes.load(format, rewritten), data)
        return {**_proved(rows, "its static batch of 1 was made dynamic: "), "rewritten": str(rewritten)}
    except (NotRunnableError, verify.NoInputsError, PackageError) as error:
        return {"verdict": "unrun", "reason": str(error)}
    except (verify.RefutedError, rewrite.NotRewritableError, StatefulError) as error:
        return {"verdict": "refuted", "reason": str(error)}


def _proved(rows: int, prefix: str) -> dict[str, Any]:
    return {"verdict": "proved", "reason": f"{prefix}run with batch 1 and batch {rows}, equal row by row"}


def _samples(paths: list[str], inputs: tuple[Tensor, ...]) -> list[dict[str, Array]]:
    """The samples that hold every input, one row each or more."""
    samples = [load_npz(Path(path)) for path in paths]
    return [s for s in samples if all(t.name in s and s[t.name].ndim for t in inputs)]


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """What is asked of a model."""
    asked = json.loads(request)
    model = Path(asked["model"])
    return json.dumps(describe(model) if asked.get("describe") else attempt(asked, folder)).encode()

"""One trial of a batch axis, in a process of its own: `python -m tritonpm.convert.trial WORKDIR` (see `sandbox`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tritonpm.convert import rewrite, runtimes, sandbox, verify
from tritonpm.convert.running import NotRunnableError, StatefulError
from tritonpm.core.errors import PackageError
from tritonpm.core.files import write_atomically
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Format, Tensor


def describe(model: Path) -> dict[str, Any]:
    """What the runtime infers of an ONNX model's outputs."""
    try:
        return {"outputs": runtimes.output_shapes(model)}
    except NotRunnableError:
        return {}  # the proof will say it


def attempt(request: dict[str, Any]) -> dict[str, Any]:
    """The verdict: proved, refuted (it runs, and does not batch) or unrun, with the reason in one sentence."""
    format, model, rows = Format(request["format"]), Path(request["model"]), request["rows"]
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    try:
        original = runtimes.load(format, model)
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


def main() -> None:
    """Answer the request in the folder named on the command line."""
    workdir = Path(sys.argv[1])
    sandbox.enter()
    request = json.loads((workdir / "request.json").read_text())
    answer = describe(Path(request["model"])) if request.get("describe") else attempt(request)
    write_atomically(workdir / "answer.json", json.dumps(answer).encode())


if __name__ == "__main__":
    main()

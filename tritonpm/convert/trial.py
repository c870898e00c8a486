"""One trial of a batch axis, in a process of its own (see `core.apart`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tritonpm.convert import rewrite, runtimes, verify
from tritonpm.convert.batch import LOADED
from tritonpm.convert.branches import unseen
from tritonpm.convert.graph_values import GraphValues, graph_values
from tritonpm.convert.inputs import Clock, Kind, Maker, NoInputsError, Row
from tritonpm.convert.running import NotRunnableError, Run, StatefulError
from tritonpm.core.apart import Report
from tritonpm.core.errors import PackageError
from tritonpm.core.sandbox import says_out_of_memory
from tritonpm.core.tensors import Array, load_npz
from tritonpm.core.types import Format, Power, Tensor, Values

SECONDS = 30.0  # after which no more inputs are added
_LONGEST = 30.0  # seconds that the original may take for one input while it is asked what it takes
_SAMPLE = Kind("sample")
_BEYOND = {"verdict": "beyond", "reason": "needs more memory than it may have"}


def describe(model: Path) -> dict[str, Any]:
    """What the runtime infers of an ONNX model's outputs."""
    try:
        return {"outputs": runtimes.output_shapes(model)}
    except NotRunnableError as error:
        return _BEYOND if says_out_of_memory(str(error)) else {}  # the proof will say it


def attempt(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The verdict, with the reason in one sentence.

    proved, blind (it may be wrong, inputs would not show it), refuted (it runs, and does not batch), unrun or beyond
    its limits.
    """
    format, model = Format(request["format"]), Path(request["model"])
    inputs = tuple(Tensor(name, dtype, tuple(shape), optional) for name, dtype, shape, optional in request["inputs"])
    said = {name: Values(**values) for name, values in request.get("values", {}).items()}
    clock = Clock(request.get("seconds", SECONDS))
    try:
        original = runtimes.load(format, model, longest=_LONGEST)
    except NotRunnableError as error:
        return _BEYOND if says_out_of_memory(str(error)) else {"verdict": "unrun", "reason": str(error)}
    except StatefulError as error:
        return {"verdict": "refuted", "reason": str(error)}
    (folder / LOADED).touch()
    try:
        samples = verify.sampled(_samples(request["samples"], inputs))
        trial = _Trial(
            original, inputs, said, graph_values(format, model), samples, clock, tame=request.get("tame", False)
        )
        largest = request["largest"]
        rows = trial.rows(min(largest, verify.ALONE))
        prefix, batchable, made = "", original, {}
        if request["rewrite"]:
            rewritten = rewrite.make_batchable(format, model)
            prefix, batchable = "its static batch of 1 was made dynamic: ", runtimes.load(format, rewritten)
            made = {"rewritten": str(rewritten)}
        power = verify.require_rows(original, batchable, rows, trial.stream, largest, clock)
        elsewhere = trial.elsewhere(batchable)
        power = _with_hidden(power, unseen(format, Path(made.get("rewritten", model)), rows.rows, largest))
        left_out = [kind for kind in rows.refused if kind != _SAMPLE.name]
        return {**_judged(largest, prefix, power, elsewhere, left_out), **made}
    except (NotRunnableError, NoInputsError, PackageError) as error:
        return {"verdict": "unrun", "reason": str(error)}
    except (verify.RefutedError, rewrite.NotRewritableError, StatefulError) as error:
        return {"verdict": "refuted", "reason": str(error)}


def _with_hidden(power: Power, told: tuple[str, ...]) -> Power:
    """Less where something of the graph did not show: what it does with a batch is not known."""
    return replace(power, tried=power.tried + len(told), blind=power.blind + told)


class _Trial:
    """The rows of one model: its samples', then made-up ones of the same shapes."""

    def __init__(
        self, run: Run, inputs: tuple[Tensor, ...], said: dict[str, Values], graph: GraphValues, samples: list[Row],
        clock: Clock, *, tame: bool,
    ) -> None:  # fmt: skip
        self.run, self.clock, self.tame, self.samples = run, clock, tame, samples
        if samples:
            inputs = tuple(replace(t, shape=(1, *samples[0][t.name].shape[1:])) for t in inputs if t.name in samples[0])
        self.inputs = inputs
        self.maker: Maker | None
        try:
            self.maker = Maker.learned(run, inputs, said, graph, batch=1, clock=Clock(0) if tame else clock)
        except NoInputsError:
            if not samples:
                raise
            self.maker = None
        self.stream = self._stream()

    def _stream(self) -> Iterator[tuple[Kind, Row]]:
        yield from ((_SAMPLE, row) for row in self.samples)
        if self.maker:
            yield from self.maker.rows(batch=1, usual=self.tame)

    def rows(self, count: int) -> verify.RunRows:
        """Rows with the original's answers. Raises NoInputsError."""
        rows = verify.RunRows()
        if self.samples:  # those that it was made for must be among what it takes
            rows.add(self.run, ((_SAMPLE, row) for row in self.samples), max(1, count // 2), self.clock)
        rows.add(self.run, self.stream, count, self.clock)
        return rows

    def elsewhere(self, batchable: Run) -> list[int]:
        """The other sizes of dynamic dimensions at which its rows are independent, too. Raises RefutedError."""
        if self.maker is None or self.samples or not any(_open(tensor) for tensor in self.inputs):
            return []
        tried = []
        for size in (1, self.maker.size // 2 + 1, 2 * self.maker.size + 3):
            if (
                self.clock.over
                or size == self.maker.size
                or (self.maker.size > _LARGEST_OPEN and size > self.maker.size)
            ):
                continue
            rows, stream = verify.RunRows(), self.maker.rows(batch=1, usual=True, size=size)
            try:
                rows.add(self.run, stream, verify.ROWS, self.clock)
            except NoInputsError:
                continue
            verify.require_rows(self.run, batchable, rows, iter(()), verify.ROWS, self.clock)
            tried.append(size)
        return tried


_LARGEST_OPEN = 64  # beyond which a size is an image's, and none is tried that is larger


def _open(tensor: Tensor) -> bool:
    return any(isinstance(size, str) for size in (tensor.shape or ())[1:])


def _judged(largest: int, prefix: str, power: Power, elsewhere: list[int], left_out: list[str]) -> dict[str, Any]:
    sizes = f", with dynamic dimensions of {', '.join(map(str, elsewhere))} too" if elsewhere else ""
    without = f"; not tried, since it does not take them: {', '.join(left_out)}" if left_out else ""
    ran = f"{prefix}run one by one and in batches of up to {largest}{sizes}, equal row by row"
    answer = {"largest": largest, "power": asdict(power)}
    if not power.blind:
        return {"verdict": "proved", "reason": f"{ran} ({power.words}){without}", **answer}
    settle = "; samples for which its answers differ would settle it"
    return {
        "verdict": "blind",
        "reason": f"{ran}, but that tells too little: {power.blind[0]}{settle}{without}",
        **answer,
    }


def _samples(paths: list[str], inputs: tuple[Tensor, ...]) -> list[dict[str, Array]]:
    """The samples that hold every input, one row each or more."""
    samples = [load_npz(Path(path)) for path in paths]
    needed = [t for t in inputs if not t.optional]
    whole = [s for s in samples if all(t.name in s and s[t.name].ndim for t in needed)]
    names = {t.name for t in inputs}
    return [{name: array for name, array in sample.items() if name in names} for sample in whole]


def answer(request: bytes, folder: Path, report: Report) -> bytes:
    """What is asked of a model."""
    asked = json.loads(request)
    model = Path(asked["model"])
    return json.dumps(describe(model) if asked.get("describe") else attempt(asked, folder)).encode()

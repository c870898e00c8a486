"""The process that converts and proves: `python -m tritonpm.convert.worker FOLDER` (see `sandbox`).

The request lies in FOLDER/request.json, what is made in FOLDER/made, the answer in FOLDER/answer.json; progress goes
to the file that the request names, a line an event. A file `cancel` beside that one asks it to stop.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tritonpm.convert import runtimes
from tritonpm.convert.agreement import BOUNDS, UnverifiableError, agreement
from tritonpm.convert.calibration import read, spread
from tritonpm.convert.chain import chain
from tritonpm.convert.conversion import Artefact, CancelledError, ConversionError, NotTakenError
from tritonpm.convert.converters import converter
from tritonpm.convert.damage import weights_noticed
from tritonpm.convert.divergence import first_divergence
from tritonpm.convert.graph_values import GraphValues, graph_values
from tritonpm.convert.inputs import Clock
from tritonpm.convert.narrowed import narrowed
from tritonpm.convert.profile import layers
from tritonpm.convert.requests import CANCEL, Answer, Capture, Compare, Convert, ModelFile, Profile
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError, StatefulError
from tritonpm.convert.trials import Knowledge, Trial, trials
from tritonpm.core import sandbox
from tritonpm.core.errors import TritonpmError
from tritonpm.core.files import write_atomically
from tritonpm.core.tensors import Array, guesses, load_npz, save_npz
from tritonpm.core.types import Agreement, Format, Step
from tritonpm.core.units import human

_CALIBRATION = 12  # files of what INT8 was calibrated on that are tried beside the package's samples
_LOOKED_INTO = 4  # inputs on which inner tensors are compared, and damage is looked for
_SECONDS = 60.0  # after which a proof adds no more inputs
_LONGEST = 30.0  # seconds that the original may take for one input
_ACCELERATED = "an execution accelerator runs it, which is the server's: it is verified when it is loaded"
_REPORT_EVERY = 0.1  # seconds between two events of one step


class _Events:
    """Progress as lines of JSON; whoever follows the job reads them."""

    def __init__(self, path: Path, about: str) -> None:
        self.path, self.about, self.last = path, about, ("", 0.0)

    @property
    def cancelled(self) -> bool:
        return self.path.with_name(CANCEL).exists()

    def report(self, step: str, done: int, total: int) -> None:
        if self.cancelled:
            raise CancelledError("was cancelled")
        now = time.monotonic()
        if self.last[0] == step and now - self.last[1] < _REPORT_EVERY and done != total:
            return
        self.last = step, now
        line = json.dumps({"stage": self.about, "step": step, "done": done, "total": total}) + "\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line)


def convert(request: Convert, folder: Path, watch: _Events) -> Answer:
    """Every step in a folder of its own, then the proof."""
    original = Artefact(request.model.format, Path(request.model.path), request.model.signature)
    if not request.named and (reason := narrowed(original.format, original.model, dict(request.model.values))):
        raise ConversionError(reason, where=original.model.name, do="name the optimizer to use it anyway")
    artefact = original
    steps: list[Step] = []
    for name in request.steps:
        own = folder / "made" / name
        own.mkdir(parents=True)
        watch.report(name, 0, 0)
        conversion = converter(name)(artefact, request.options, request.gpu, own, watch)
        artefact, steps = conversion.artefact, [*steps, conversion.record]
    watch.report("verifying", 0, 0)
    proof = proved(original, artefact, request) if not request.accelerated else Agreement("unverified", _ACCELERATED)
    state = "failed" if proof.state == "failed" else "done"
    main = str(artefact.model.relative_to(folder)) if artefact is not original else ""
    return Answer(state, proof.reason, artefact.format, main, artefact.signature, tuple(steps), proof)


def proved(original: Artefact, artefact: Artefact, request: Convert) -> Agreement:
    """Unverified, with the reason, where either of them cannot be run here."""
    clock, options = Clock(_SECONDS), request.options
    if original.format in runtimes.ACTING and not request.trusted:
        return Agreement("unverified", f"{original.format.value} is a program, and was not run without --allow-code")
    try:
        before = runtimes.load(original.format, original.model, longest=_LONGEST)
        after = runtimes.load(artefact.format, artefact.model)
        known = original.signature if original.signature.inputs else artefact.signature
        also = spread(options.samples, _CALIBRATION) if request.samples else options.samples
        paths = dict.fromkeys((*request.samples, *also))
        samples = [read(Path(path), known, first=options.preprocess) for path in paths]
        batches = request.batches or ((1, options.max_batch_size) if known.dynamic_batch else ())
        ground = Knowledge(known.inputs, request.model.values, graph_values(original.format, original.model))
        tried: list[Trial] = []
        inputs = _kept(trials(
            before, ground, samples, batches=batches, precision=options.precision, sizes=request.sizes, clock=clock
        ), tried)  # fmt: skip
        result = agreement(
            before, after, inputs, clock=clock, meant=request.meant,
            precision=options.precision, task=options.task, tolerances=request.tolerances,
        )  # fmt: skip
    except (NotRunnableError, StatefulError, UnverifiableError) as error:
        return Agreement("unverified", str(error))
    if result.state == "verified":
        return weights_noticed(
            result, original, before, tried,
            precision=options.precision, task=options.task, tolerances=request.tolerances, clock=clock,
        )  # fmt: skip
    if result.state == "failed" and (where := _parted(original, artefact, request, tried)):
        return replace(result, reason=f"{result.reason}; {where}")
    return result


def _kept(inputs: Iterable[Trial], tried: list[Trial]) -> Iterator[Trial]:
    """The same, and the first of them once more for whoever looks into the model."""
    for trial in inputs:
        if trial.usual and len(tried) < _LOOKED_INTO:
            tried.append(trial)
        yield trial


def _parted(original: Artefact, artefact: Artefact, request: Convert, tried: Sequence[Trial]) -> str:
    """Where in the network it begins to go wrong, by the bounds in force; "" where that cannot be told."""
    bounds = {**BOUNDS[request.options.precision], **request.tolerances}
    cosine, scaled = bounds.get("cosine", -1.0), bounds.get("scaled", math.inf)
    models = (original.format, original.model), (artefact.format, artefact.model)
    sentences = (first_divergence(*models, trial.arrays, cosine=cosine, scaled=scaled) for trial in tried)
    return next(filter(None, sentences), "")


def capture(request: Capture, folder: Path, watch: _Events) -> Answer:
    """Run the originals on the samples; keep what each stage was given, and the answers."""
    (folder / "made").mkdir()
    number = 0

    def keep(stage: str, inputs: Mapping[str, Array]) -> None:
        save_npz(folder / "made" / f"{stage}-{number}.npz", inputs)

    run = chain(request.links, _loaded(request.models), request.outputs, keep)
    for number, path in enumerate(request.samples):
        watch.report("running the samples", number, len(request.samples))
        save_npz(folder / "made" / f"answer-{number}.npz", run(load_npz(Path(path))))
    return Answer("done")


def compare(request: Compare, folder: Path, watch: _Events) -> Answer:
    """End to end; where it falls outside, the stages that must go back to what they were, worst first."""
    watch.report("verifying end to end", 0, 0)
    try:
        before, after = _loaded(request.models), _loaded(request.optimised)
    except (NotRunnableError, StatefulError) as error:
        return Answer("done", agreement=Agreement("unverified", str(error)))
    samples = [load_npz(Path(path)) for path in request.samples]
    precision = _lowest([model.precision for model in request.optimised.values()])
    original, clock = chain(request.links, before, request.outputs), Clock(_SECONDS)
    ground = Knowledge(request.inputs, request.values, GraphValues())
    inputs = list(trials(original, ground, samples, batches=request.batches, precision=precision, clock=clock))

    def judged(back: Sequence[str]) -> Agreement:
        runs = {**before, **after, **{stage: before[stage] for stage in back}}
        run = chain(request.links, runs, request.outputs)
        return agreement(
            original, run, inputs,
            precision=precision, task=request.task, tolerances=request.tolerances, meant=request.meant,
        )  # fmt: skip

    first = result = judged(())
    guilty: list[str] = []
    candidates = [stage for stage, model in request.optimised.items() if model.precision != "FP32"]
    while result.state == "failed" and candidates:
        trial = {stage: judged([*guilty, stage]) for stage in candidates}
        worst = max(candidates, key=lambda stage: (trial[stage].state == "verified", _cosine(trial[stage])))
        candidates.remove(worst)
        guilty.append(worst)
        result = trial[worst]
    state = "failed" if result.state == "failed" else "done"
    reason = first.reason if guilty else result.reason
    return Answer(state, reason, agreement=result, guilty=tuple(guilty))


def profile(request: Profile, folder: Path, watch: _Events) -> Answer:
    """The layers of one model, the slowest first."""
    watch.report("profiling", 0, 0)
    model = request.model
    run = runtimes.load(model.format, Path(model.path)) if model.format is not Format.TENSORRT else None
    samples = [load_npz(Path(path)) for path in request.samples[:1]]
    for inputs in samples or guesses(model.signature.inputs, batch=1 if request.batches else None, said=model.values):
        try:
            if run:
                run(inputs)
            return Answer("done", layers=tuple(layers(model.format, Path(model.path), inputs, folder)))
        except RunFailedError as error:
            refusal = str(error)
    raise UnverifiableError(f"it runs on none of the available inputs ({refusal})")


def _cosine(result: Agreement) -> float:
    return min((output.cosine for output in result.outputs), default=-1.0)


def _lowest(precisions: Sequence[str]) -> str:
    return max(precisions, key=("FP32", "FP16", "INT8").index, default="FP32")


def _loaded(models: Mapping[str, ModelFile]) -> dict[str, Run]:
    return {stage: runtimes.load(model.format, Path(model.path)) for stage, model in models.items()}


def _answered(request: Convert | Capture | Compare | Profile, folder: Path, watch: _Events) -> Answer:
    if isinstance(request, Convert):
        return convert(request, folder, watch)
    if isinstance(request, Profile):
        return profile(request, folder, watch)
    return compare(request, folder, watch) if isinstance(request, Compare) else capture(request, folder, watch)


def main() -> None:
    """Answer the request in the folder named on the command line."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Convert | Capture | Compare | Profile)
    sandbox.enter(request.memory)
    watch = _Events(Path(request.events), request.about)
    try:
        answer = _answered(request, folder, watch)
    except CancelledError:
        answer = Answer("cancelled", "was cancelled")
    except ConversionError as error:  # who asked knows the file, and names it better
        if isinstance(request, Convert | Profile) and error.where == Path(request.model.path).name:
            error.where = ""
        reason = str(error)
        answer = Answer("failed", reason, taken=not isinstance(error, NotTakenError))
    except (TritonpmError, NotRunnableError, RunFailedError, UnverifiableError) as error:
        answer = Answer("failed", str(error))
    except Exception as error:
        if not (isinstance(error, MemoryError) or sandbox.says_out_of_memory(str(error))):
            raise
        answer = Answer("failed", f"ran out of memory at the limit of {human(request.memory)}")
    write_atomically(folder / "answer.json", msgspec.json.encode(answer))


if __name__ == "__main__":
    main()

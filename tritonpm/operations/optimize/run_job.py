"""The process of one job, `python -m tritonpm.operations.optimize.run_job ROOT JOB`.

It goes on when whoever started it has gone.

Stage by stage a worker converts and proves (it may crash, hang or eat memory: that is a reason, and no more); what it
made is kept by content as soon as it is proved, so that a job that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tritonpm.catalogue import Record
from tritonpm.catalogue.jobs import EVENTS, Event, Job
from tritonpm.convert.conversion import Options
from tritonpm.convert.meant import meant
from tritonpm.convert.plan import ACCELERATED, Work, cascade_key, plan, works
from tritonpm.convert.requests import CANCEL, Answer, Compare, Convert
from tritonpm.core.errors import OptimisationError, TritonpmError
from tritonpm.core.files import digest_of
from tritonpm.core.types import CascadeProof, File, Gpu, Optimised
from tritonpm.core.units import MIB
from tritonpm.meaning.spec import Preprocess
from tritonpm.meaning.stages import of_stage
from tritonpm.operations.context import Context, Report, open_context
from tritonpm.operations.local_repository import changing
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.optimize.candidates import is_automatic
from tritonpm.operations.optimize.compare import decide
from tritonpm.operations.optimize.decision import keep
from tritonpm.operations.optimize.jobs import adopt, request_of
from tritonpm.operations.optimize.precisions import keep as keep_measures
from tritonpm.operations.optimize.precisions import measure
from tritonpm.operations.stage_inputs import NOT_ENOUGH, JobCancelledError, JobLimits, StageInputs
from tritonpm.operations.summary import summary
from tritonpm.settings.shapes import shape_ranges


class Optimiser:
    """One package's optimisation, with the settings of a record, which need not be those in the catalogue.

    `named` says of which stages somebody named the optimizer: one that we choose must answer as the model does for
    all that its types can hold.
    """

    def __init__(
        self,
        context: Context,
        record: Record,
        folder: Path,
        limits: JobLimits,
        *,
        events: str = os.devnull,
        cancelled: Callable[[], bool] = lambda: False,
        named: Callable[[str], bool] = lambda stage: False,
    ) -> None:
        self.context, self.record, self.named = context, record, named
        self.package, self.settings = record.package, record.settings
        self.inputs = StageInputs(context, record, folder, limits, events=events, cancelled=cancelled)
        self.axes = self.inputs.axes

    def run(self) -> None:
        """Optimise what is not done yet; then, of a cascade, prove the whole. Raises OptimisationError."""
        done = works(self.package, self.settings, self.axes)
        for work in done:
            self._do(work)
        if self.package.cascade and self.context.catalogue.artefacts.cascade(cascade_key(self.package, done)) is None:
            self._prove_whole(done)

    # One stage

    def _do(self, work: Work) -> Optimised:
        known = self.context.catalogue.artefacts.get(work.key)
        if known and all(self.context.blobs.has(file.digest) for file in known.files):
            return known
        try:
            made = self._convert(work)
        except PartlyTakenError as error:
            if not work.plan.instead:
                raise
            other = plan(work.stage.format, work.settings, optimizer=work.plan.instead)
            if other is None:
                raise
            note = f"{work.plan.optimizer} could not take it ({error.what}), so {other.optimizer} is used"
            made = self._convert(replace(work, plan=other), (note,))
        return made

    def _convert(self, work: Work, notes: tuple[str, ...] = ()) -> Optimised:
        stage, made = work.stage, work.plan
        proved_on = self.inputs.samples(stage)
        meaning = of_stage(stage, preprocess=work.settings.preprocess, decode=work.settings.decode)
        request = Convert(
            **self.inputs.common(stage.name),
            model=self.inputs.original(stage),
            steps=made.steps,
            accelerated=made.optimizer in ACCELERATED,
            named="openvino" not in made.optimizer or self.named(stage.name),
            options=self._options(work, proved_on, meaning.preprocess),
            gpu=self._gpu(work),
            samples=proved_on,
            batches=self.inputs.batches(stage),
            tolerances=dict(work.settings.tolerances),
            meant=meant(meaning),
        )
        answer, folder = self.inputs.ask(request, f"{stage.name}-{made.optimizer}")
        if answer.state == "failed":
            kind = OptimisationError if answer.taken else PartlyTakenError
            raise kind(answer.reason, where=f"stage {stage.name}", do=_remedy(answer, made.precision))
        return self._keep(work, answer, folder, notes)

    def _keep(self, work: Work, answer: Answer, folder: Path, notes: tuple[str, ...]) -> Optimised:
        """Blobs first, then the entry that refers to them: a kill in between leaves nothing that is half."""
        main = folder / answer.model if answer.model else None
        paths = sorted(path for path in main.parent.iterdir() if path.is_file()) if main else []
        files = tuple(File(path.name, digest_of(path), path.stat().st_size) for path in paths)
        optimised = Optimised(
            work.plan.optimizer,
            work.plan.precision,
            answer.format or work.stage.format,
            answer.signature or work.stage.signature,
            main.name if main else "",
            files,
            work.plan.accelerator,
            answer.steps,
            answer.agreement,
            notes,
        )
        with changing(self.context, f"optimize {self.package.name}"):
            for path, file in zip(paths, files, strict=True):
                self.context.blobs.put(path, file.digest, move=True)
            source = self.package.file(work.stage.model).digest
            self.context.catalogue.artefacts.put(work.key, source, optimised)
        shutil.rmtree(folder, ignore_errors=True)
        return optimised

    # A cascade as a whole

    def _prove_whole(self, done: Sequence[Work]) -> None:
        """End to end; the members by which it falls outside go back to FP32. Raises OptimisationError."""
        key, reason = cascade_key(self.package, done), ""
        back: list[str] = []
        while True:
            current = works(self.package, self.settings, self.axes, back)
            answer = self._compared(current)
            if not answer.guilty and answer.state == "failed":
                raise OptimisationError(answer.reason, where="the whole cascade", do="use --precision fp32")
            if not answer.guilty:
                break
            reason = reason or answer.reason
            back += answer.guilty
            for work in works(self.package, self.settings, self.axes, back):
                self._do(work)
        proof = CascadeProof(answer.agreement, tuple(back), reason)
        with changing(self.context, f"optimize {self.package.name}"):
            self.context.catalogue.artefacts.put_cascade(key, proof)

    def _compared(self, current: Sequence[Work]) -> Answer:
        m, wiring = self.inputs, self.inputs.wiring
        artefacts = self.context.catalogue.artefacts
        made = {work.stage.name: (artefacts.get(work.key), work.key) for work in current}
        laid_out = {stage: one and m.optimised(one, key) for stage, (one, key) in made.items()}
        request = Compare(
            **m.common("the whole"),
            links=wiring.links, models=m.originals(), outputs=wiring.outputs, inputs=wiring.inputs,
            optimised={stage: model for stage, model in laid_out.items() if model},
            samples=m.paths(self.package.samples),
            values=dict(self.package.values),
            batches=tuple(sorted({batch for work in current for batch in m.batches(work.stage)})),
            task=self.package.stages[-1].task,
            tolerances=dict(self.settings.tolerances),
            meant=meant(meaning_of(self.package, self.settings)),
        )  # fmt: skip
        return m.ask(request, "whole")[0]

    # What a worker is given

    def _options(self, work: Work, proved_on: tuple[str, ...], first: Preprocess | None) -> Options:
        s = work.settings
        own = tuple(str(self.context.blobs.path(digest)) for digest in s.calibration)
        caches = self.context.workspace.timing_cache
        caches.mkdir(exist_ok=True)
        return Options(
            precision=work.plan.precision,
            bf16=s.bf16,
            task=work.stage.task,
            max_batch_size=max(1, s.max_batch_size),
            samples=(own or proved_on) if work.needs_samples else (),
            preprocess=first,
            max_drop=s.max_drop,
            shapes=shape_ranges(s.shapes),
            workspace_bytes=s.workspace_mb * MIB if s.workspace_mb is not None else None,
            builder_level=s.builder_level,
            version_compatible=s.version_compatible,
            hardware_compatible=s.hardware_compatible,
            plugins=tuple(str(self.context.blobs.path(digest)) for digest in s.plugins),
            timing_cache=str(caches / "timing.cache"),
        )

    def _gpu(self, work: Work) -> Gpu | None:
        if not work.settings.on_gpu:
            return None
        if capability := work.settings.compute_capability:
            return Gpu.named(capability)
        gpus = [gpu for gpu in self.context.target.gpus if not work.settings.gpus or gpu.index in work.settings.gpus]
        return next(iter(gpus), None)


class PartlyTakenError(OptimisationError):
    """The optimizer takes the model only in part; another one may take it whole."""


def _remedy(answer: Answer, precision: str) -> str:
    if answer.agreement.state == "failed":
        first = "another --precision" if precision != "FP32" else "--optimizer none"
        return f"use {first}, or a wider --tolerance"
    return NOT_ENOUGH if "memory" in answer.reason else ""


def run(root: Path, number: int) -> None:
    """Do the job, and say in the catalogue how it ended."""
    with open_context(root) as context:
        job = context.catalogue.jobs.get(number)
        state, reason = "failed", "the optimiser has ended with an internal error, see its log"
        try:
            _optimise(context, job)
            state, reason = "done", ""
        except JobCancelledError as error:
            state, reason = "cancelled", str(error)
        except TritonpmError as error:
            reason = str(error)
        finally:
            _ended(context, job, state, reason)


def _optimise(context: Context, job: Job) -> None:
    """Make and prove all that was asked for; only then it is what the package's settings say."""
    request, jobs = request_of(job), context.catalogue.jobs
    folder, record = jobs.folder(job.id), context.catalogue.get(job.package)
    wanted, cancelled = request.settings or record.settings, (folder / CANCEL).exists

    def named(stage: str) -> bool:
        return wanted.for_stage(stage).optimizer not in ("none", "auto")

    def make(asked: Record) -> None:
        limits = JobLimits(request.seconds, request.memory)
        events = str(folder / EVENTS)
        optimiser = Optimiser(context, asked, folder, limits, events=events, cancelled=cancelled, named=named)
        try:
            optimiser.run()
        finally:
            optimiser.inputs.clear()

    reporting = replace(context, progress=partial(_reported, context, job))
    if request.measures:
        keep_measures(jobs, job, measure(reporting, record, make, cancelled))
        return
    if request.compare:
        decision = decide(reporting, record, wanted, request.compare, make, cancelled)
        if decision.stays and not is_automatic(record.settings):  # also in what was asked for beside the optimizer
            decision = replace(decision, settings=record.settings)
        wanted = decision.settings
        keep(jobs, job, decision)
    else:
        make(replace(record, settings=wanted))
    adopt(context, job.package, wanted, request.instead_of or record.settings)
    now = context.catalogue.get(job.package)
    if now.settings == wanted:  # what was made may batch otherwise
        context.catalogue.set_settings(job.package, wanted, summary(context, now.package, wanted))


@contextmanager
def _reported(context: Context, job: Job, step: str) -> Iterator[Report]:
    """Progress of what is no stage's, as events of the job."""

    def report(done: int, total: int) -> None:
        context.catalogue.jobs.report(job.id, Event(job.package, step, done, total))

    report(0, 0)
    yield report


def _ended(context: Context, job: Job, state: str, reason: str) -> None:
    """The job's end and the package's status; what is loaded goes on serving what it serves.

    Settings that were only tried and failed leave no trace at the package.
    """
    record, request = context.catalogue.get(job.package), request_of(job)
    tried = request.settings is not None
    if record.status != "loaded" and not request.measures and (state == "done" or (state == "failed" and not tried)):
        context.catalogue.set_status(job.package, "ready" if state == "done" else "failed", reason)
    context.catalogue.jobs.end(job.id, state, reason)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))

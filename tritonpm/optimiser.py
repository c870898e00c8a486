"""The process of one job: `python -m tritonpm.optimiser ROOT JOB`. It goes on when whoever started it has gone.

Stage by stage a worker converts and proves (it may crash, hang or eat memory: that is a reason, and no more); what it
made is kept by content as soon as it is proved, so that a job that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from tritonpm.catalogue import Record
from tritonpm.catalogue.blobs import digest_of
from tritonpm.catalogue.jobs import EVENTS, Job
from tritonpm.convert import sandbox
from tritonpm.convert.chain import Link
from tritonpm.convert.conversion import Options, shape_ranges
from tritonpm.convert.plan import Work, cascade_key, plan, works
from tritonpm.convert.requests import CANCEL, Answer, Capture, Compare, Convert, Model, Request
from tritonpm.data import BatchAxis, CascadeProof, File, Gpu, Optimised, Signature, Stage, Tensor
from tritonpm.errors import OptimisationError, TritonpmError
from tritonpm.manager import Manager

_WORKER = "tritonpm.convert.worker"
_NOT_ENOUGH = "lower the batch size or the builder level, or give it more with --memory-limit"


@dataclass(frozen=True)
class Limits:
    """What one worker may use: seconds, and bytes of memory."""

    seconds: float
    memory: int


class CancelledError(OptimisationError):
    """Somebody cancelled the job."""


class Optimiser:
    """One job on one package."""

    def __init__(self, manager: Manager, job: Job, limits: Limits) -> None:
        self.manager, self.job, self.limits = manager, job, limits
        self.folder = manager.catalogue.jobs.folder(job.id)
        self.record: Record = manager.catalogue.get(job.package)
        self.axes = manager.axes(self.record.package)
        self.package, self.settings = self.record.package, self.record.settings

    def run(self) -> None:
        """Optimise what is not done yet; then, of a cascade, prove the whole. Raises OptimisationError."""
        done = works(self.package, self.settings, self.axes)
        for work in done:
            self._do(work)
        if self.package.cascade and self.manager.catalogue.artefacts.cascade(cascade_key(self.package, done)) is None:
            self._prove_whole(done)

    # One stage

    def _do(self, work: Work) -> Optimised:
        known = self.manager.catalogue.artefacts.get(work.key)
        if known and all(self.manager.blobs.has(file.digest) for file in known.files):
            return known
        try:
            made = self._convert(work)
        except ConversionFailedError as error:
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
        source = self._laid_out(stage)
        proved_on = self._samples(stage)
        request = Convert(
            **self._common(stage.name),
            model=Model(stage.format, str(source), self._signature(stage)),
            steps=made.steps,
            options=self._options(work, proved_on),
            gpu=self._gpu(work),
            samples=proved_on,
            batches=self._batches(stage, work.settings.max_batch_size),
            tolerances=dict(work.settings.tolerances),
        )
        answer, folder = self._ask(request, f"{stage.name}-{made.optimizer}")
        if answer.state == "failed":
            kind = OptimisationError if answer.agreement.state == "failed" else ConversionFailedError
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
        with self.manager.changing(f"optimize {self.package.name}"):
            for path, file in zip(paths, files, strict=True):
                self.manager.blobs.put(path, file.digest, move=True)
            source = self.package.file(work.stage.model).digest
            self.manager.catalogue.artefacts.put(work.key, source, optimised)
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
        with self.manager.changing(f"optimize {self.package.name}"):
            self.manager.catalogue.artefacts.put_cascade(key, proof)

    def _compared(self, current: Sequence[Work]) -> Answer:
        links, outputs, inputs = self._wiring()
        originals = {stage.name: self._original(stage) for stage in self.package.stages}
        optimised = {work.stage.name: model for work in current if (model := self._made(work))}
        batches = {batch for work in current for batch in self._batches(work.stage, work.settings.max_batch_size)}
        request = Compare(
            **self._common("the whole"),
            links=links, models=originals, outputs=outputs, optimised=optimised, inputs=inputs,
            samples=tuple(self._blob(sample.inputs) for sample in self.package.samples),
            batches=tuple(sorted(batches)),
            task=self.package.stages[-1].task,
            tolerances=dict(self.settings.tolerances),
        )  # fmt: skip
        return self._ask(request, "whole")[0]

    def _made(self, work: Work) -> Model | None:
        """An optimised member laid out to be run; None where the model itself runs, in an accelerator."""
        optimised = self.manager.catalogue.artefacts.get(work.key)
        if optimised is None or not optimised.files:
            return None
        folder = self.folder / "members" / work.key
        _link(folder, {file.path: self.manager.blobs.path(file.digest) for file in optimised.files})
        return Model(optimised.format, str(folder / optimised.model), optimised.signature, optimised.precision)

    def _wiring(self) -> tuple[tuple[Link, ...], tuple[tuple[str, str, str], ...], tuple[Tensor, ...]]:
        from tritonpm.repository.cascade import wire

        wiring = wire(self.package)
        links = tuple(
            Link(
                stage.name,
                tuple((e.tensor, e.source_stage, e.source_tensor) for e in wiring.edges if e.stage == stage.name),
            )
            for stage in self.package.stages
        )
        return links, tuple((public, stage, tensor.name) for public, stage, tensor in wiring.outputs), wiring.inputs

    # What workers are given

    def _common(self, about: str) -> dict[str, Any]:
        return {"events": str(self.folder / EVENTS), "memory": self.limits.memory, "about": about}

    def _ask(self, request: Request, name: str) -> tuple[Answer, Path]:
        """A worker's answer and its folder. Raises OptimisationError: it has crashed, or was cancelled."""
        folder = self.folder / "work" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        cancelled = (self.folder / CANCEL).exists
        try:
            raw = sandbox.answered(_WORKER, folder, deadline=self.limits.seconds, cancelled=cancelled)
        except sandbox.EndedError as error:
            if cancelled():
                raise CancelledError("was cancelled") from None
            raise OptimisationError(f"the conversion {error}", where=f"stage {request.about}", do=_NOT_ENOUGH) from None
        answer = msgspec.json.decode(raw, type=Answer)
        if answer.state == "cancelled":
            raise CancelledError("was cancelled")
        return answer, folder

    def _options(self, work: Work, proved_on: tuple[str, ...]) -> Options:
        s = work.settings
        own = tuple(str(self.manager.blobs.path(digest)) for digest in s.calibration)
        caches = self.manager.workspace.timing_cache
        caches.mkdir(exist_ok=True)
        return Options(
            precision=work.plan.precision,
            task=work.stage.task,
            max_batch_size=s.max_batch_size,
            samples=(own or proved_on) if work.needs_samples else (),
            max_drop=s.max_drop,
            shapes=shape_ranges(s.shapes),
            workspace_bytes=s.workspace_mb << 20 if s.workspace_mb is not None else None,
            builder_level=s.builder_level,
            version_compatible=s.version_compatible,
            hardware_compatible=s.hardware_compatible,
            plugins=tuple(str(self.manager.blobs.path(digest)) for digest in s.plugins),
            timing_cache=str(caches / "timing.cache"),
        )

    def _gpu(self, work: Work) -> Gpu | None:
        from tritonpm.hardware import target

        gpus = [gpu for gpu in target().gpus if not work.settings.gpus or gpu.index in work.settings.gpus]
        return gpus[0] if gpus and work.settings.on_gpu else None

    def _samples(self, stage: Stage) -> tuple[str, ...]:
        """.npz files of a stage's inputs: its own, or what the cascade's samples become on the way to it."""
        if stage.samples:
            return tuple(self._blob(sample.inputs) for sample in stage.samples)
        if not self.package.samples:
            return ()
        if not self.package.cascade:
            return tuple(self._blob(sample.inputs) for sample in self.package.samples)
        return tuple(str(path) for path in sorted(self._captured().glob(f"{stage.name}-*.npz")))

    def _captured(self) -> Path:
        folder = self.folder / "captured"
        if not folder.is_dir():
            links, outputs, _ = self._wiring()
            samples = tuple(self._blob(sample.inputs) for sample in self.package.samples)
            models = {stage.name: self._original(stage) for stage in self.package.stages}
            request = Capture(**self._common("the whole"), links=links, models=models, outputs=outputs, samples=samples)
            answer, made = self._ask(request, "capture")
            if answer.state == "failed":
                raise OptimisationError(answer.reason, where="the package's samples", do="correct them")
            (made / "made").rename(folder)
        return folder

    def _original(self, stage: Stage) -> Model:
        return Model(stage.format, str(self._laid_out(stage)), self._signature(stage))

    def _signature(self, stage: Stage) -> Signature:
        return self.axes[stage.name].signature or stage.signature

    def _laid_out(self, stage: Stage) -> Path:
        """The stage's model with all that it needs beside it; where its batch was made dynamic, that one."""
        folder, axis = self.folder / "models" / stage.name, self.axes[stage.name]
        digests = {path: self.package.file(path).digest for path in stage.files}
        if axis.artefact:
            digests[stage.model] = axis.artefact
        _link(folder, {path: self.manager.blobs.path(digest) for path, digest in digests.items()})
        return folder / PurePosixPath(stage.model)

    def _batches(self, stage: Stage, most: int) -> tuple[int, ...]:
        axis: BatchAxis = self.axes[stage.name]
        return tuple(sorted({1, most})) if axis.kind != "none" else ()

    def _blob(self, path: str) -> str:
        return str(self.manager.blobs.path(self.package.file(path).digest))


class ConversionFailedError(OptimisationError):
    """The converter could not take the model; another optimizer may."""


def _link(folder: Path, files: Mapping[str, Path]) -> None:
    for path, blob in files.items():
        place = folder / PurePosixPath(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            continue
        try:
            os.link(blob, place)
        except OSError:
            shutil.copyfile(blob, place)


def _remedy(answer: Answer, precision: str) -> str:
    if answer.agreement.state == "failed":
        return "use another --precision, or a wider --tolerance" if precision != "FP32" else "use --optimizer none"
    return _NOT_ENOUGH if "memory" in answer.reason else ""


def run(root: Path, number: int) -> None:
    """Do the job, and say in the catalogue how it ended."""
    manager = Manager.open(root)
    jobs = manager.catalogue.jobs
    jobs.owned(number)
    job = jobs.get(number)
    limits = msgspec.convert(job.request, Limits)
    try:
        Optimiser(manager, job, limits).run()
    except CancelledError:
        _ended(manager, job, "cancelled", "", "was cancelled")
    except TritonpmError as error:
        _ended(manager, job, "failed", str(error), str(error))
    except BaseException as error:
        _ended(manager, job, "failed", f"internal error: {type(error).__name__}: {error}", "internal error")
        raise
    else:
        _ended(manager, job, "done", "", "")


def _ended(manager: Manager, job: Job, state: str, package_reason: str, reason: str) -> None:
    """The job's end and the package's status; what is loaded goes on serving what it serves."""
    record = manager.catalogue.get(job.package)
    if record.status != "loaded":
        status = {"done": "ready", "failed": "failed"}.get(state, record.status)
        manager.catalogue.set_status(job.package, status, package_reason)
    manager.catalogue.jobs.end(job.id, state, reason)
    folder = manager.catalogue.jobs.folder(job.id)
    for name in ("work", "models", "members", "captured"):
        shutil.rmtree(folder / name, ignore_errors=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))

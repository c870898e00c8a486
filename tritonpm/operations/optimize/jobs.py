"""What is optimised, and the jobs that do it: `Manager`'s use cases around conversions.

The work itself is done by `optimiser`, a process of its own; here it is started, followed, cancelled and looked up.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tritonpm.catalogue.blobs import digest_of
from tritonpm.catalogue.jobs import RUNNING
from tritonpm.convert.conversion import MissingToolError
from tritonpm.convert.plan import Work, cascade_key, works
from tritonpm.convert.requests import CANCEL
from tritonpm.core.errors import NotFoundError, NotOptimisedError, OptimisationError, UsageError
from tritonpm.core.types import CascadeProof, Format, Optimised
from tritonpm.operations import views
from tritonpm.operations.memory import require_room_to_build

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.catalogue.jobs import Event, Job
    from tritonpm.operations.manager import Manager

TIME_LIMIT = 3600.0  # seconds for the conversion of one stage
_SHARE = 0.75  # of the machine's memory, that one conversion may use
_LOOK_EVERY = 0.1  # seconds
_CANCEL_WAIT = 15.0  # seconds that a cancelled job has to end
MODULE = "tritonpm.operations.optimize.run_job"
_PROFILE_SECONDS = 300.0


def default_memory() -> int:
    """Bytes that one conversion may use where nobody says how many."""
    return int(psutil.virtual_memory().total * _SHARE)


def _built_layers(made: Optimised) -> list[tuple[str, str, str, str, None]]:
    """An engine's layers as its build told them: name, kind, kernel, precision. Without a GPU there are no times."""
    told: list[list[str]] = list(made.steps[-1].details["layers"])  # type: ignore[call-overload]
    return [(name, kind, kernel, precision, None) for name, kind, kernel, precision in told]


class Optimising:
    """The optimisations of a manager's workspace."""

    def __init__(self, manager: Manager) -> None:
        self.manager, self.jobs = manager, manager.catalogue.jobs

    # What there is

    def works(self, record: Record) -> tuple[list[Work], CascadeProof | None]:
        """What the settings ask to be optimised and, of a cascade, the proof of the whole."""
        axes = self.manager.axes(record.package) if record.settings.stages or record.settings.optimised else {}
        if not axes:
            return [], None
        asked = works(record.package, record.settings, axes)
        if not asked or not record.package.cascade:
            return asked, None
        proof = self.manager.catalogue.artefacts.cascade(cascade_key(record.package, asked))
        return works(record.package, record.settings, axes, proof.back if proof else ()), proof

    def made(self, record: Record) -> dict[str, Optimised]:
        """What is there and fits this machine, by stage; of a cascade only once the whole was proved."""
        asked, proof = self.works(record)
        if record.package.cascade and proof is None:
            return {}
        found = {work.stage.name: self._there(work) for work in asked}
        of = {work.stage.name: work for work in asked}
        return {stage: made for stage, made in found.items() if made and not self._stale(of[stage], made)}

    def required(self, record: Record) -> dict[str, Optimised]:
        """All that the settings ask for. Raises NotOptimisedError where some is missing, or does not fit any more."""
        found, name = self.made(record), record.package.name
        for stage in self.stages(record):
            if stage.stage not in found:
                said = f"its engine is stale: {stage.reason}" if stage.state == "stale" else "is not optimised yet"
                raise NotOptimisedError(f"stage {stage.stage} {said}", where=name, do=f"`tritonpm optimize {name}`")
        return found

    def stages(self, record: Record) -> tuple[views.OptimisationView, ...]:
        """Stage by stage what was asked for and what is there."""
        asked, proof = self.works(record)
        found = {work.stage.name: self._view(work, self._there(work)) for work in asked}
        for stage in proof.back if proof else ():
            wanted = record.settings.for_stage(stage).precision
            note = f"went back to FP32, since at {wanted} {proof.reason}" if proof else ""
            view = found.get(stage, views.OptimisationView(stage, "none", "FP32", "verified"))
            found[stage] = replace(view, notes=(*view.notes, note))
        return tuple(found[stage.name] for stage in record.package.stages if stage.name in found)

    def _view(self, work: Work, made: Optimised | None) -> views.OptimisationView:
        if made is None:
            return views.OptimisationView(work.stage.name, work.plan.optimizer, work.plan.precision, "missing")
        stale, size = self._stale(work, made), sum(file.size for file in made.files)
        return views.OptimisationView(
            work.stage.name, made.optimizer, made.precision, "stale" if stale else made.agreement.state,
            stale or made.agreement.reason, size, made.agreement, made.steps, made.notes,
        )  # fmt: skip

    def profile(self, name: str, stage: str | None = None) -> list[views.LayerView]:
        """Where the time of a package's models goes as they are served, the slowest layer of each stage first.

        Raises NotFoundError, OptimisationError where a model does not run here.
        """
        from tritonpm.hardware import target
        from tritonpm.operations.optimize.stage_inputs import Limits, Materials

        manager, record = self.manager, self.manager.catalogue.get(name)
        wanted = [s for s in record.package.stages if stage in (None, s.name)]
        if not wanted:
            raise NotFoundError(f"there is no stage {stage!r}", where=name, do=f"`tritonpm show {name}` lists them")
        made, keys = self.made(record), {work.stage.name: work.key for work in self.works(record)[0]}
        found: list[views.LayerView] = []
        with manager.workspace.scratch("profile") as folder:
            materials = Materials(manager, record, folder, Limits(_PROFILE_SECONDS, default_memory()))
            for each in wanted:
                one = made.get(each.name)
                if one and one.format is Format.TENSORRT and not target().gpus:
                    found += [views.LayerView(each.name, *layer) for layer in _built_layers(one)]
                    continue
                model = materials.optimised(one, keys[each.name]) if one else None
                with manager.progress(f"Profiling {each.name}"):
                    answer, _ = materials.ask(materials.profile(each, model), "profile")
                if answer.state == "failed":
                    raise OptimisationError(answer.reason, where=f"{name}, stage {each.name}")
                found += [views.LayerView(each.name, *astuple(layer)) for layer in answer.layers]
        return found

    def _there(self, work: Work) -> Optimised | None:
        made = self.manager.catalogue.artefacts.get(work.key)
        return made if made and all(self.manager.blobs.has(file.digest) for file in made.files) else None

    def _stale(self, work: Work, made: Optimised) -> str:
        """Why an engine does not fit this machine's toolkit or GPUs; "" where it does, or is for another machine."""
        if made.optimizer != "tensorrt" or not made.steps:
            return ""
        from tritonpm.convert.tensorrt import stale, toolkit
        from tritonpm.hardware import target

        chosen, elsewhere = work.settings.gpus, work.settings.compute_capability
        gpus = () if elsewhere else tuple(gpu for gpu in target().gpus if not chosen or gpu.index in chosen)
        try:
            kit = toolkit()
        except MissingToolError:
            return stale(made.steps[-1], None, gpus)
        return stale(made.steps[-1], (kit.flavour, kit.version), gpus)

    # Jobs

    def choose(
        self,
        name: str,
        changes: Mapping[str, object],
        *,
        stage: str | None = None,
        calibration: Path | None = None,
        plugins: Sequence[Path] = (),
    ) -> None:
        """Change the settings as told, and where they still ask for nothing, to what is best here.

        Raises RuleError, NotFoundError, BusyError.
        """
        manager = self.manager
        settings = manager.catalogue.get(name).settings
        told = dict(changes)
        asks = {"precision", "optimizer", "device"} & told.keys()
        if not asks and not stage and not any(settings.for_stage(s).optimised for s in ("", *settings.stages)):
            told["optimizer"] = "auto"
            if settings.device == "gpu":
                told["device"] = "gpu-optimised"
        if told or calibration or plugins:
            manager.change(name, told, stage=stage, calibration=calibration, plugins=plugins)

    def resume(self, number: int) -> int:
        """Start what is left of a job that did not end well; the new job's number. Raises UsageError."""
        job = self.jobs.get(number)
        if job.state in (RUNNING, "done"):
            raise UsageError(f"job {number} is {job.state}", do="`tritonpm jobs` lists them")
        limits = job.request
        started = self.start(job.package, time_limit=limits["seconds"], memory_limit=limits["memory"])
        if started is None:
            raise UsageError(f"nothing of job {number} is left to be done")
        return started.id

    def start(
        self, name: str, *, again: bool = False, time_limit: float = TIME_LIMIT, memory_limit: int | None = None
    ) -> Job | None:
        """Start the job that makes what the settings ask for; None where all of it is there.

        `time_limit` in seconds and `memory_limit` in bytes are for each stage. Raises BusyError, OptimisationError.
        """
        manager, record = self.manager, self.manager.catalogue.get(name)
        asked, _ = self.works(record)
        if not asked:
            raise UsageError(f"{name} asks for no optimisation", do="give --precision, --optimizer or --device")
        if not again and len(self.made(record)) == len(asked):
            return None
        for work in asked:
            if work.needs_samples and not (work.settings.calibration or work.stage.samples or record.package.samples):
                raise OptimisationError(
                    "INT8 is calibrated on samples, and the package has none",
                    where=f"{name}, stage {work.stage.name}",
                    do="give --calibration FOLDER with .npz files or images",
                )
        require_room_to_build(manager, record)
        with manager.changing(f"optimize {name}"):
            job = self.jobs.create(name, {"seconds": time_limit, "memory": memory_limit or default_memory()})
            if again:
                for key in [work.key for work in asked] + [cascade_key(record.package, asked)]:
                    manager.catalogue.artefacts.forget(key)
        log = self.jobs.folder(job.id) / "job.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(manager.workspace.root), str(job.id)],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip
        self.jobs.owned(job.id, process.pid)
        return job

    def follow(self, number: int) -> Iterator[Event]:
        """A job's events, from its first to its last, as they come. Raises NotFoundError."""
        offset, job = 0, self.jobs.get(number)
        while True:
            ended = job.state != RUNNING
            for event, behind in self.jobs.events(number, offset):
                offset = behind
                yield event
            if ended:
                return
            time.sleep(_LOOK_EVERY)
            job = self.jobs.get(number)

    def ensure(self, name: str) -> None:
        """Make what the settings ask for, where it is not there yet; progress goes to the manager's watcher."""
        job = self.start(name) if self.works(self.manager.catalogue.get(name))[0] else None
        if job:
            self.watched(job.id)

    def watched(self, number: int) -> Job:
        """Follow a job to its end; progress goes to the manager's watcher. Raises OptimisationError."""
        shown: tuple[str, str] | None = None
        with ExitStack() as bar:
            report: Callable[[int, int], None] = lambda done, total: None  # noqa: E731
            for event in self.follow(number):
                if (event.stage, event.step) != shown:
                    shown = event.stage, event.step
                    bar.close()
                    report = bar.enter_context(self.manager.progress(f"{event.stage}: {event.step}"))
                report(event.done, event.total)
        return self.finish(number)

    def finish(self, number: int) -> Job:
        """How a job that was followed to its end has ended. Raises OptimisationError unless it is done."""
        job = self.jobs.get(number)
        if job.state != "done":
            hint = f"`tritonpm optimize {job.package}` goes on" if job.state == "interrupted" else ""
            raise OptimisationError(
                f"job {number} {'' if job.state == 'failed' else 'was '}{job.state}: {job.reason}".rstrip(": "),
                where=job.package, do=hint,
            )  # fmt: skip
        return job

    def cancel(self, number: int) -> Job:
        """End a job, its workers with it; the package is as it was before."""
        job = self.jobs.get(number)
        if job.state != RUNNING:
            raise UsageError(f"job {number} is {job.state}, not running", do="`tritonpm jobs` lists them")
        (self.jobs.folder(number) / CANCEL).touch()
        deadline = time.monotonic() + _CANCEL_WAIT
        while (job := self.jobs.get(number)).state == RUNNING and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
        return job

    def listed(self) -> list[views.JobView]:
        """Every job, the newest first."""
        return [views.job_view(job, self.jobs.last_event(job.id)) for job in self.jobs.all()]

    def calibration(self, source: Path) -> tuple[str, ...]:
        """Keep the samples of a folder or file as blobs; their digests, for the settings. Raises OptimisationError."""
        from tritonpm.convert.calibration import gather

        return self.kept(gather(source))

    def kept(self, files: Sequence[Path]) -> tuple[str, ...]:
        """Keep files as blobs; their digests, for the settings. Raises NotFoundError."""
        digests = []
        for path in files:
            if not path.is_file():
                raise NotFoundError("is not there", where=str(path), do="check the path")
            digests.append(digest_of(path))
            self.manager.blobs.put(path, digests[-1])
        return tuple(digests)

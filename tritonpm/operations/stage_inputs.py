"""What conversions and proofs are made of: a package's models laid out to be run, its samples, and workers to do it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from tritonpm.convert.chain import Link
from tritonpm.convert.plan import proved_batch
from tritonpm.convert.requests import Answer, Capture, ModelFile, Profile, WorkerRequest
from tritonpm.core import sandbox
from tritonpm.core.errors import OptimisationError
from tritonpm.core.files import link_or_copy
from tritonpm.core.types import Optimised, Sample, Signature, Stage, Tensor
from tritonpm.operations.batch_axes import batch_axes

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context

_WORKER = "tritonpm.convert.worker"
NOT_ENOUGH = "lower the batch size or the builder level, or give it more with --memory-limit"


@dataclass(frozen=True)
class JobLimits:
    """What one worker may use: seconds, and bytes of memory."""

    seconds: float
    memory: int


class JobCancelledError(OptimisationError):
    """Somebody cancelled the work."""


@dataclass(frozen=True)
class StageLinks:
    """How a package's stages hang together; a single one is a cascade of one."""

    links: tuple[Link, ...]
    outputs: tuple[tuple[str, str, str], ...]  # (public name, stage, tensor)
    inputs: tuple[Tensor, ...]


class StageInputs:
    """One package's, in `folder`; `events` is where workers write how far they are."""

    def __init__(
        self,
        context: Context,
        record: Record,
        folder: Path,
        limits: JobLimits,
        *,
        events: str = os.devnull,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.context, self.package, self.settings = context, record.package, record.settings
        self.folder, self.limits, self.events, self.cancelled = folder, limits, events, cancelled
        self.axes = batch_axes(context, record.package, settings=record.settings)

    def ask(self, request: WorkerRequest, name: str) -> tuple[Answer, Path]:
        """A worker's answer and its folder. Raises OptimisationError: it has crashed; JobCancelledError."""
        folder = self.folder / "work" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "request.json").write_bytes(msgspec.json.encode(request))
        try:
            raw = sandbox.answered(_WORKER, folder, deadline=self.limits.seconds, cancelled=self.cancelled)
        except sandbox.EndedError as error:
            if self.cancelled():
                raise JobCancelledError("was cancelled") from None
            raise OptimisationError(f"the conversion {error}", where=f"stage {request.about}", do=NOT_ENOUGH) from None
        answer = msgspec.json.decode(raw, type=Answer)
        if answer.state == "cancelled":
            raise JobCancelledError("was cancelled")
        return answer, folder

    def common(self, about: str) -> dict[str, Any]:
        """What every request says; `about` is the stage, for progress."""
        return {"events": self.events, "memory": self.limits.memory, "about": about}

    def original(self, stage: Stage) -> ModelFile:
        """A stage's model with all that it needs beside it; where its batch was made dynamic, that one."""
        folder, axis = self.folder / "models" / stage.name, self.axes[stage.name]
        digests = {path: self.package.file(path).digest for path in stage.files}
        if axis.artefact:
            digests[stage.model] = axis.artefact
        _link(folder, {path: self.context.blobs.path(digest) for path, digest in digests.items()})
        return ModelFile(
            stage.format, str(folder / PurePosixPath(stage.model)), self.signature(stage), values=stage.values
        )

    def originals(self) -> dict[str, ModelFile]:
        """Every stage's model, by stage."""
        return {stage.name: self.original(stage) for stage in self.package.stages}

    def optimised(self, made: Optimised, key: str) -> ModelFile | None:
        """What a stage became, laid out to be run; None where the model itself runs, in an accelerator."""
        if not made.files:
            return None
        folder = self.folder / "members" / key
        _link(folder, {file.path: self.context.blobs.path(file.digest) for file in made.files})
        return ModelFile(made.format, str(folder / made.model), made.signature, made.precision)

    def signature(self, stage: Stage) -> Signature:
        """What the stage is served with."""
        return self.axes[stage.name].signature or stage.signature

    def batches(self, stage: Stage) -> tuple[int, ...]:
        """The batch sizes that a stage is proved at; () where it has no batch axis."""
        most = proved_batch(self.settings.for_stage(stage.name).max_batch_size)
        return tuple(sorted({1, most})) if self.axes[stage.name].kind != "none" else ()

    @cached_property
    def wiring(self) -> StageLinks:
        """How the stages hang together. Raises RenderError."""
        from tritonpm.repository.cascade import wire

        wiring = wire(self.package)
        edges = {stage.name: [e for e in wiring.edges if e.stage == stage.name] for stage in self.package.stages}
        links = tuple(
            Link(name, tuple((e.tensor, e.source_stage, e.source_tensor) for e in own)) for name, own in edges.items()
        )
        outputs = tuple((public, stage, tensor.name) for public, stage, tensor in wiring.outputs)
        return StageLinks(links, outputs, wiring.inputs)

    def samples(self, stage: Stage) -> tuple[str, ...]:
        """.npz files of a stage's inputs: its own, or what the package's samples become on the way to it."""
        if stage.samples:
            return self.paths(stage.samples)
        if not self.package.samples:
            return ()
        if not self.package.cascade:
            return self.paths(self.package.samples)
        return tuple(
            str(path) for path in sorted(self.captured(self.paths(self.package.samples)).glob(f"{stage.name}-*.npz"))
        )

    def captured(self, samples: tuple[str, ...]) -> Path:
        """A folder with what every stage is given, STAGE-N.npz, and the whole answers, answer-N.npz, of the originals.

        Raises OptimisationError where they do not run on the samples.
        """
        folder = self.folder / "captured"
        if not folder.is_dir():
            w = self.wiring
            request = Capture(
                **self.common("the whole"), links=w.links, models=self.originals(), outputs=w.outputs, samples=samples
            )
            answer, made = self.ask(request, "capture")
            if answer.state == "failed":
                raise OptimisationError(answer.reason, where="the package's samples", do="correct them")
            (made / "made").rename(folder)
        return folder

    def profile(self, stage: Stage, model: ModelFile | None) -> Profile:
        """The request to profile a stage's model, as it came where it is None."""
        samples, batches = self.samples(stage), self.batches(stage)
        return Profile(**self.common(stage.name), model=model or self.original(stage), samples=samples, batches=batches)

    def paths(self, samples: Iterable[Sample]) -> tuple[str, ...]:
        """Where the inputs of samples lie."""
        return tuple(str(self.context.blobs.path(self.package.file(sample.inputs).digest)) for sample in samples)

    def clear(self) -> None:
        """Delete everything that can be made again."""
        for name in ("work", "models", "members", "captured"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def _link(folder: Path, files: Mapping[str, Path]) -> None:
    for path, blob in files.items():
        place = folder / PurePosixPath(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            link_or_copy(blob, place)

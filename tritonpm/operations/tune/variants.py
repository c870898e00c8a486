"""What a package's stages can be made into here: converted, proved, and judged before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpm.convert.plan import ACCELERATED, STEPS
from tritonpm.core.errors import OptimisationError, TritonpmError
from tritonpm.core.types import Agreement
from tritonpm.operations.artefacts import stages, works_of
from tritonpm.operations.optimize.make import make
from tritonpm.operations.render import revision_of
from tritonpm.settings.settings import OPTIMIZERS, Settings
from tritonpm.tune.space import Candidate, Choice, Layout, Variant, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tritonpm.catalogue import Record
    from tritonpm.core.types import Stage
    from tritonpm.operations.context import Context

PRECISIONS_WORTH_IT = {"cpu": ("FP32", "INT8"), "gpu": ("FP32",), "gpu-optimised": ("FP32", "FP16", "INT8")}
_VERIFIED = "verified"


def offered(precisions: Sequence[str], *, gpu: bool) -> Iterator[Variant]:
    """Every variant that there may be on this machine, of these precisions; () are those that can pay on each device.

    FP16 on a CPU is computed in FP32, and so pays in memory only.
    """
    devices = ("cpu", "gpu", "gpu-optimised") if gpu else ("cpu",)
    for device in devices:
        wanted = precisions or PRECISIONS_WORTH_IT[device]
        if device != "gpu-optimised" and "FP32" in wanted:
            yield Variant(device, "none", "FP32")
        for optimizer, steps in STEPS.items():
            if OPTIMIZERS[optimizer] == device and optimizer not in ACCELERATED:
                yield from (Variant(device, optimizer, precision) for precision in wanted if steps.get(precision))


class Variants:
    """The variants of one package; `seconds` says how long a conversion may take, whenever it is asked."""

    def __init__(
        self, context: Context, record: Record, seconds: Callable[[], float], least: float | None = None
    ) -> None:
        self.context, self.record, self.seconds, self.least = context, record, seconds, least
        self.refused: list[str] = []

    def of(self, stage: Stage, precisions: Sequence[str]) -> tuple[Variant, ...]:
        """Those that a stage can be made into, and that answer as the original does; why not says `refused`."""
        possible: list[Variant] = []
        own, gpu = self.record.settings.for_stage(stage.name).device, bool(self.context.target.gpus)
        as_adopted = (Variant(own, "none", "FP32", adopted=True),)
        for variant in as_adopted if stage.config or stage.crop is not None else offered(precisions, gpu=gpu):
            settings = self.alone(stage.name, variant)
            try:
                revision_of(self.context, self.record.package, settings)
                self.prove(settings)
            except TritonpmError as error:
                self.refused.append(f"{stage.name}, {variant.words}: {error.what}")
                continue
            possible.append(variant)
        return tuple(possible)

    def prove(self, settings: Settings) -> None:
        """Make what settings ask for and prove it, unless that is done. Raises TritonpmError."""
        context, record = self.context, replace(self.record, settings=settings)
        make(context, record, max(1.0, self.seconds()))
        asked, proof = works_of(context, record)
        if not asked:
            return
        if proof and proof.back:
            raise OptimisationError(f"{', '.join(proof.back)} went back to FP32, since {proof.reason}")
        for view in stages(context, record):
            if view.state != _VERIFIED:
                raise OptimisationError(f"its answers are {view.state} ({view.reason})")
        accuracy = self.accuracy(settings)
        if self.least is not None and accuracy < self.least:
            raise OptimisationError(f"{accuracy:.2%} of its answers are right, {self.least:.2%} are asked for")

    def accuracy(self, settings: Settings) -> float:
        """The worst agreement with the original, of any stage or of the whole; 1 where nothing was converted."""
        record = replace(self.record, settings=settings)
        _, proof = works_of(self.context, record)
        agreements = [view.agreement for view in stages(self.context, record)]
        whole = (proof.agreement,) if proof else ()
        return min((_score(agreement) for agreement in (*agreements, *whole)), default=1.0)

    def alone(self, stage: str, variant: Variant) -> Settings:
        """The settings as they are, but for this variant in one stage."""
        package, base = self.record.package, self.record.settings
        threads = 1 if variant.device == "cpu" else 0
        choice = Choice(variant, Layout(1, 1, threads), base.for_stage(stage).max_batch_size)
        return settings_of(Candidate(((stage, choice),), 1), base, 1, cascade=package.cascade)


def _score(agreement: Agreement) -> float:
    """Of a proof: the share of the same classes, else of the same boxes, else the cosine, as exact as FP32 allows."""
    for share in (agreement.top1, agreement.boxes):
        if share is not None:
            return share
    return round(min((output.cosine for output in agreement.outputs), default=1.0), 6)

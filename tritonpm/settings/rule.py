"""What a rule is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tritonpm.core.types import BatchAxis, Optimised, Package, Stage, Target
from tritonpm.meaning.spec import crop
from tritonpm.meaning.stages import of_stage
from tritonpm.settings.backend import backend_of, max_batch_size
from tritonpm.settings.settings import Settings

MOST_BATCH = 65_536


@dataclass(frozen=True)
class Case:
    """What a rule looks at: one stage of a package with the settings in force for it."""

    package: Package
    stage: Stage
    settings: Settings
    axis: BatchAxis
    target: Target
    defaults: tuple[Settings, ...] = (Settings(),)  # what the package may have started with, here or elsewhere
    made: Optimised | None = None  # what serves in place of the stage's model, where it is there

    @property
    def backend(self) -> str:
        """The backend that will serve the stage."""
        return backend_of(self.stage, self.settings, self.made)

    @property
    def crops(self) -> int:
        """The rows that a stage is given at once, where they are cut out of a picture; 0 where they are not."""
        given = {source.partition(".")[0] for _, source in self.stage.bindings}
        return max((crop(one.crop).most for one in self.package.stages if one.crop is not None and one.name in given),
                   default=0)  # fmt: skip

    @property
    def rows(self) -> int:
        """The most rows that the stage takes at once; 0: any number."""
        if most := max_batch_size(self.stage, self.settings, self.axis, self.backend):
            return most
        sizes = [tensor.shape[0] for tensor in self.stage.signature.inputs if tensor.shape]
        return next((size for size in sizes if isinstance(size, int)), 0)

    @property
    def meaningless(self) -> str:
        """Why what package and settings say of the stage's tensors cannot be; "" where it can."""
        try:
            of_stage(self.stage, preprocess=self.settings.preprocess, decode=self.settings.decode)
        except ValueError as error:
            return str(error)
        return ""


@dataclass(frozen=True)
class Rule:
    """A rule's name, when it is broken, its sentence (formatted with the case) and what to do."""

    name: str
    broken: Callable[[Case], bool]
    sentence: str
    do: str
    level: str = "error"  # or warning: said, and not refused
    gives_way: tuple[str, ...] = ()  # settings that go back where a change that does not name them breaks the rule

    def explain(self, case: Case) -> str:
        """The sentence for this case."""
        about = {"stage": case.stage, "package": case.package, "axis": case.axis}
        return self.sentence.format(s=case.settings, case=case, most=MOST_BATCH, **about)

"""What every converter is: a function from a model on disk to another model on disk, and the record of how.

    convert(artefact, options, device, folder, watch) -> Conversion

`device` is the GPU that the result is for, or None for the CPU; `folder` is empty and the converter's to write into.
A converter raises ConversionError (the model cannot be converted, in one sentence) or CancelledError; it imports its
toolkit inside the function, and says MissingToolError where that is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tritonpm.core.errors import RequirementError, TritonpmError
from tritonpm.core.extras import to_install
from tritonpm.core.types import Format, Gpu, Signature, Step, Task
from tritonpm.meaning.spec import Preprocess
from tritonpm.settings.shapes import ShapeRange


class ConversionError(TritonpmError):
    """The model cannot be converted so."""


class NotTakenError(ConversionError):
    """The toolkit takes this model's graph only in part; another one may take it whole."""


class MissingToolError(ConversionError, RequirementError):
    """The toolkit that the conversion needs is not installed."""


class CancelledError(ConversionError):
    """It was cancelled."""


@dataclass(frozen=True)
class Artefact:
    """A model on disk. What its main file needs lies in the same folder, and nothing else does."""

    format: Format
    model: Path
    signature: Signature


@dataclass(frozen=True)
class Options:
    """What a converter may be told; plain data, so that it goes into a job's request and into the cache's key."""

    precision: str = "FP32"  # FP32 | FP16 | INT8
    bf16: bool = False  # OpenVINO: what is served may compute in bf16
    task: Task = Task.OTHER
    max_batch_size: int = 1
    samples: tuple[str, ...] = ()  # .npz files of inputs, or pictures: what INT8 is calibrated with
    preprocess: Preprocess | None = None  # how a picture becomes the input, where that is said
    max_drop: float | None = None  # INT8: how much of the task's score may be lost; None: plain quantisation
    shapes: Mapping[str, ShapeRange] = field(default_factory=dict)  # TensorRT: the optimisation profile, by input
    workspace_bytes: int | None = None  # TensorRT: of scratch memory
    builder_level: int | None = None  # TensorRT: builder optimisation level, 0 to 5
    version_compatible: bool = False  # TensorRT
    hardware_compatible: bool = False  # TensorRT
    plugins: tuple[str, ...] = ()  # TensorRT: shared libraries
    timing_cache: str | None = None  # TensorRT: a file, read and written


Record = Step  # how an artefact was made


@dataclass(frozen=True)
class Conversion:
    """What a converter gives back."""

    artefact: Artefact
    record: Record


class Watch(Protocol):
    """Who watches a conversion: hears how far it is, and may want it to stop."""

    def report(self, step: str, done: int, total: int) -> None:
        """`done` of `total` of this step is done; total 0: not known. Raises CancelledError."""

    @property
    def cancelled(self) -> bool:
        """Whether it shall stop: for toolkits that must be told, and through which no exception passes."""


class Unwatched:
    """Nobody watches."""

    cancelled = False

    def report(self, step: str, done: int, total: int) -> None:
        """Nothing."""


Converter = Callable[[Artefact, Options, "Gpu | None", Path, Watch], Conversion]


def version(distribution: str) -> str:
    """The installed version of a toolkit. Raises MissingToolError."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise MissingToolError(f"{distribution} is not installed", do=to_install(distribution)) from None

"""What the worker is asked and what it answers: plain data, JSON between two processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tritonpm.convert.chain import Link
from tritonpm.convert.conversion import Options
from tritonpm.convert.layer import Layer
from tritonpm.convert.meant import Meant
from tritonpm.core.types import Agreement, Format, Gpu, Signature, Step, Task, Tensor, Values

CANCEL = "cancel"  # the file beside the events' that asks a worker to stop


@dataclass(frozen=True)
class ModelFile:
    """A model for the worker: the original, and where there is one, what it became."""

    format: Format
    path: str
    signature: Signature
    precision: str = "FP32"  # of what it became
    values: Mapping[str, Values] = field(default_factory=dict)  # what its inputs hold, where the manifest says it


class WorkerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What all requests have: where progress goes, and how much memory there is."""

    events: str
    memory: int
    about: str = ""  # the stage, for progress


class Convert(WorkerRequest, frozen=True, kw_only=True, tag=True):
    """One stage's model through these steps, proved against itself as it came."""

    model: ModelFile
    steps: tuple[str, ...] = ()
    options: Options = Options()
    accelerated: bool = False  # what comes out runs in an accelerator of ONNX Runtime's, which is not here
    named: bool = True  # the optimizer was asked for by name, and not chosen by us
    gpu: Gpu | None = None
    samples: tuple[str, ...] = ()  # .npz files to prove it on
    batches: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    tolerances: dict[str, float] = {}
    meant: Meant | None = None  # what the package says of its outputs
    trusted: bool = True  # an original that is a program may be run


class Profile(WorkerRequest, frozen=True, kw_only=True, tag=True):
    """Where one model's time goes, on the first of the samples."""

    model: ModelFile
    samples: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()


class Capture(WorkerRequest, frozen=True, kw_only=True, tag=True):
    """Samples run through the originals: what each stage is given, to FOLDER/made/STAGE-N.npz, and answer-N.npz."""

    links: tuple[Link, ...] = ()
    models: dict[str, ModelFile] = {}
    outputs: tuple[tuple[str, str, str], ...] = ()
    samples: tuple[str, ...] = ()


class Compare(WorkerRequest, frozen=True, kw_only=True, tag=True):
    """A cascade of optimised stages against the original, end to end."""

    links: tuple[Link, ...] = ()
    models: dict[str, ModelFile] = {}
    outputs: tuple[tuple[str, str, str], ...] = ()
    samples: tuple[str, ...] = ()
    optimised: dict[str, ModelFile] = {}
    inputs: tuple[Tensor, ...] = ()
    values: dict[str, Values] = {}
    batches: tuple[int, ...] = ()
    task: Task = Task.OTHER
    tolerances: dict[str, float] = {}
    meant: Meant | None = None  # what the package says of its last stage's outputs


@dataclass(frozen=True)
class Answer:
    """What came of a request: done, failed or cancelled; `guilty` are the stages by which a cascade falls outside."""

    state: str
    reason: str = ""
    format: Format | None = None
    model: str = ""  # relative to FOLDER
    signature: Signature | None = None
    steps: tuple[Step, ...] = ()
    agreement: Agreement = field(default_factory=Agreement)
    guilty: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ()
    taken: bool = True  # False: the toolkit takes the graph only in part, another optimizer may do better

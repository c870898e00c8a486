"""The plain, frozen data that every room speaks. No behaviour beyond what the data itself says; imports nothing heavy.

Shapes: a dimension is an int, or the name of a dynamic dimension ("batch", or "?" where the model gives none).
dtypes are the names of Triton's inference protocol (FP32, INT64, BYTES, …).
Source: Triton's `extension_model_configuration` and `protocol` documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Dim = int | str
Shape = tuple[Dim, ...]
REVISION = "tritonpm_revision"  # the parameter of a config that ties a server's answer to a revision

DTYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BF16", "BYTES",
)  # fmt: skip


def config_dtype(dtype: str) -> str:
    """The name of a protocol dtype in config.pbtxt: FP32 → TYPE_FP32, BYTES → TYPE_STRING."""
    return "TYPE_STRING" if dtype == "BYTES" else f"TYPE_{dtype}"


def protocol_dtype(config_name: str) -> str:
    """The inverse of `config_dtype`."""
    return "BYTES" if config_name == "TYPE_STRING" else config_name.removeprefix("TYPE_")


def dims(shape: Shape) -> tuple[int, ...]:
    """A shape as Triton writes it: every dynamic dimension is -1."""
    return tuple(d if isinstance(d, int) else -1 for d in shape)


class Format(str, Enum):
    """What kind of file a model is."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch-export"
    SAVED_MODEL = "saved-model"  # these four only to be converted: nothing here serves them as they are
    KERAS = "keras"
    TFLITE = "tflite"
    PADDLE = "paddle"
    OTHER = "other"  # only in an adopted Triton folder: its config names the backend


# The backends that can serve a format; the first is the format's own.
BACKENDS: Mapping[Format, tuple[str, ...]] = {
    Format.ONNX: ("onnxruntime", "openvino"),
    Format.OPENVINO: ("openvino",),
    Format.TENSORRT: ("tensorrt",),
    Format.TORCHSCRIPT: ("pytorch",),
    Format.TORCH_EXPORT: ("pytorch",),
}


class Task(str, Enum):
    """What a stage does; instance segmentation has rules of its own."""

    IMAGE_CLASSIFICATION = "image-classification"
    OBJECT_DETECTION = "object-detection"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"
    DEFECT_SEGMENTATION = "defect-segmentation"
    TEXT_DETECTION = "text-detection"
    TEXT_RECOGNITION = "text-recognition"
    ANOMALY_DETECTION = "anomaly-detection"
    KEYPOINT_DETECTION = "keypoint-detection"
    PREPROCESSING = "preprocessing"
    POSTPROCESSING = "postprocessing"
    OTHER = "other"


@dataclass(frozen=True)
class Tensor:
    """One input or output. `shape` includes the batch axis and is None where the model gives no rank."""

    name: str
    dtype: str
    shape: Shape | None
    optional: bool = False
    layout: str = ""  # e.g. "NCHW", where the model file records it
    bounds: tuple[tuple[int, int, int], ...] = ()  # (place, least, most) of open sizes that the file gives a largest


@dataclass(frozen=True)
class Signature:
    """The tensors of a model, in the model's order, and what else its file tells.

    `overridable` have a value in the file that a request may replace, where a config names them as optional inputs.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...] = ()
    overridable: tuple[Tensor, ...] = ()

    @property
    def open_batch(self) -> bool:
        """Whether every input and output has a dynamic first dimension: a candidate for a batch axis."""
        tensors = (*self.inputs, *self.outputs)
        return bool(self.inputs and self.outputs) and all(t.shape and isinstance(t.shape[0], str) for t in tensors)

    @property
    def dynamic_batch(self) -> bool:
        """Whether it is of one name, too, among those inputs that name it; exporters may name it anew for each."""
        return self.open_batch and len({t.shape[0] for t in self.inputs if t.shape} - {"?"}) <= 1

    @property
    def static_batch_one(self) -> bool:
        """Whether every input and output has a first dimension of exactly 1: a candidate for rewriting."""
        tensors = (*self.inputs, *self.outputs)
        return bool(self.inputs and self.outputs) and all(t.shape is not None and t.shape[:1] == (1,) for t in tensors)


@dataclass(frozen=True)
class Needs:
    """What a model file asks of its runtime; 0: nothing, or it is not known.

    Of an ONNX model its IR and the opsets of ai.onnx and ai.onnx.ml, of OpenVINO's its layers' newest opset; `kernels`
    is which versions of ONNX Runtime lack one on a CPU for some operator, in spans as in kernels.json.
    """

    ir: int = 0
    opset: int = 0
    ml: int = 0
    openvino: int = 0
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One file of a package: a POSIX path inside it, `sha256:<hex>`, bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class Values:
    """What a manifest says of an input's values: a range, both ends included, or the texts that it knows."""

    low: float | None = None
    high: float | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A recorded inference: paths of .npz files whose arrays are named for tensors; `outputs` may be absent."""

    inputs: str
    outputs: str | None = None


@dataclass(frozen=True)
class Stage:
    """One model of a package. Paths are package paths; what they hold is in `Package.files`."""

    name: str
    task: Task
    format: Format
    model: str  # the main file (for an adopted folder: its newest version's model file, or "")
    files: tuple[str, ...]  # everything the model needs, main file included, in sorted order
    signature: Signature
    labels: str | None = None  # one label a line
    bindings: tuple[tuple[str, str], ...] = ()  # (input tensor, "stage.output" or the package's own input)
    outputs: tuple[tuple[str, str], ...] = ()  # (output tensor, its name for clients); if any, no others
    serving: Mapping[str, object] = field(default_factory=dict)  # settings that the exporter suggests
    samples: tuple[Sample, ...] = ()
    config: str | None = None  # an adopted folder's config.pbtxt; `files` then keep the folder's own layout
    max_instances: int | None = None  # the most objects that an image has, where the exporter tells
    root: str = ""  # the folder inside the package that `files` of an adopted model are relative to
    preprocess: Mapping[str, object] = field(default_factory=dict)  # as package.yaml says it: fields of `meaning.spec`
    decode: Mapping[str, object] = field(default_factory=dict)
    crop: Mapping[str, object] | None = None  # of a stage that cuts out what another finds; its model is tritonpm's own
    # What wrote the model → preprocess and decode, as read from the model or beside it; the two above go over it.
    inferred: Mapping[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    needs: Needs = Needs()
    values: Mapping[str, Values] = field(default_factory=dict)  # what inputs may hold, where the manifest says it


@dataclass(frozen=True)
class Package:
    """What somebody handed in: immutable, named by its digest (over the canonical manifest and every file's digest)."""

    name: str
    version: str
    exporter: str
    exporter_version: str
    stages: tuple[Stage, ...]
    files: tuple[File, ...]
    digest: str
    samples: tuple[Sample, ...] = ()  # of the package as a whole
    verdict: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # name → fields of `spec.Condition`
    license: str = ""  # an SPDX expression
    model_card: str | None = None  # the path of a text among `files`

    @property
    def cascade(self) -> bool:
        """Whether several models run in series."""
        return len(self.stages) > 1

    @property
    def values(self) -> Mapping[str, Values]:
        """What inputs may hold, by name, where the manifest says it."""
        return {name: own for stage in self.stages for name, own in stage.values.items()}

    def file(self, path: str) -> File:
        """The file at a package path. Raises KeyError."""
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(path)

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


@dataclass(frozen=True)
class Gpu:
    """A GPU of a target: its index, name, compute capability ("8.9"), memory in bytes."""

    index: int
    name: str
    compute_capability: str
    memory_total: int
    memory_free: int

    @classmethod
    def named(cls, compute_capability: str) -> Gpu:
        """A GPU that is not here, known by its compute capability only: to build for it."""
        return cls(0, f"compute capability {compute_capability}", compute_capability, 0, 0)


@dataclass(frozen=True)
class Target:
    """What will serve: logical cores and GPUs, and the Triton release, "" where nobody knows."""

    cores: int
    gpus: tuple[Gpu, ...] = ()
    release: str = ""


@dataclass(frozen=True)
class Power:
    """Whether a proof would have noticed a wrong model: of so many damages that were `tried` on it, how many it did.

    `blind` says in words what it would not notice; `inputs` is the digest of what it was tried on.
    """

    noticed: int = 0
    tried: int = 0
    blind: tuple[str, ...] = ()
    inputs: str = ""

    @property
    def words(self) -> str:
        """`32 of 32 damages noticed`."""
        return f"{self.noticed} of {self.tried} damages noticed"


@dataclass(frozen=True)
class BatchAxis:
    """What is known of a stage's batch axis: `proved` by running, only `declared`, or `none`.

    `artefact` is the digest of the rewritten model (a static batch of 1 made dynamic, or made older); None: the model
    runs as it is.
    It was run with a batch of `largest`; with one of `wrong`, where that is not 0, it answers wrong, as `beyond` says.
    """

    kind: str  # proved | declared | none
    reason: str  # one sentence, for the config's comment and for `show`
    artefact: str | None = None
    signature: Signature | None = None  # of the rewritten model, or with output shapes that the file leaves open
    largest: int = 0
    wrong: int = 0
    beyond: str = ""
    power: Power = Power()
    lowered: str = ""  # how the model was made older for the release that serves it, in one sentence


@dataclass(frozen=True)
class Difference:
    """How far one output of an optimised model is from the original's, over all inputs that were tried.

    `scaled` is the largest difference relative to the largest value of the output.
    """

    tensor: str
    max_abs: float
    max_rel: float
    scaled: float
    cosine: float


@dataclass(frozen=True)
class Agreement:
    """The proof that an optimised model answers as the original does, or why there is none.

    `state` is verified, failed or unverified (it cannot be run here). `top1` and `boxes` are the share of rows of one
    class and of detections that both see, None where the task has none.
    """

    state: str = "unverified"
    reason: str = ""
    inputs: str = ""  # on what they were compared
    outputs: tuple[Difference, ...] = ()
    top1: float | None = None
    boxes: float | None = None
    power: Power = Power()


@dataclass(frozen=True)
class Step:
    """One conversion that a model went through: the converter, its tools' versions, what it decided or measured."""

    converter: str
    tools: Mapping[str, str]
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Optimised:
    """What serves in place of a stage's model; without `files` the model itself, in an execution accelerator."""

    optimizer: str
    precision: str
    format: Format
    signature: Signature
    model: str = ""  # the main file's path among `files`
    files: tuple[File, ...] = ()
    accelerator: Mapping[str, str] = field(default_factory=dict)  # its parameters
    steps: tuple[Step, ...] = ()
    agreement: Agreement = field(default_factory=Agreement)
    notes: tuple[str, ...] = ()  # what was decided on the way: a fallback, a precision that did not hold


@dataclass(frozen=True)
class CascadeProof:
    """That a cascade of optimised stages answers end to end as the original does; `back` went back to FP32 for it."""

    agreement: Agreement
    back: tuple[str, ...] = ()
    reason: str = ""  # why they had to


@dataclass(frozen=True)
class RepositoryFile:
    """One file of a rendered model: a path relative to the model folder, and its text or the blob that it is."""

    path: str
    text: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class RenderedModel:
    """One folder of a model repository: its name, and files in the order in which they are to be written."""

    name: str
    files: tuple[RepositoryFile, ...]
    notes: tuple[str, ...] = ()  # what was decided for the user and why


@dataclass(frozen=True)
class Revision:
    """The rendered, immutable result of Package × Settings × Target: members first, the ensemble last."""

    name: str  # the public model name
    digest: str
    models: tuple[RenderedModel, ...]


@dataclass(frozen=True)
class Finding:
    """One verdict of lint: `level` is error (Triton refuses) or warning; `line` is 1-based, 0 where there is none.

    `release` is the only one that it is of; "": it holds for all that were asked about.
    """

    level: str
    rule: str
    file: str
    line: int
    sentence: str
    release: str = ""


@dataclass(frozen=True)
class Check:
    """One of doctor's checks: what was found, or how to get it."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True

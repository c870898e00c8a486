"""What may be chosen for a package: one field a setting, with its default; what goes together say the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from tritonpm.settings.types import Digest, Few, Many, Text

# What may optimise a stage, and for which device: two runtimes' own formats, ONNX rewritten, and ONNX Runtime's two
# execution accelerators.
OPTIMIZERS: Mapping[str, str] = {
    "openvino": "cpu",
    "onnx": "cpu",
    "ort-openvino": "cpu",
    "tensorrt": "gpu-optimised",
    "ort-tensorrt": "gpu-optimised",
}
DEVICES = ("cpu", "gpu", "gpu-optimised")
PRECISIONS = ("FP32", "FP16", "INT8")
TENSORS, PICTURES, ENCODED = "tensors", "image", "encoded"  # what clients send
SERVE = (TENSORS, PICTURES, ENCODED)
GROWTH = 1.05  # twice the instances must bring this much throughput, or they are too many
# Settings that only this workspace can have: a package cannot suggest them, or says them in a place of their own.
LOCAL_SETTINGS = ("stages", "calibration", "plugins", "preprocess", "decode")
# Settings that change nothing of what is published.
PINNED, ON_DEMAND = "pinned", "on-demand"
UNPUBLISHED_SETTINGS = ("residency", "idle_seconds", "preprocess", "decode")
LATEST = "latest:1"
# By what an optimised model's answers are judged: at most so far apart, at least so much alike.
AT_MOST, AT_LEAST = ("max_abs", "max_rel", "scaled"), ("cosine", "top1", "boxes")
MEASURES = (*AT_MOST, *AT_LEAST)


@dataclass(frozen=True)
class Settings:
    """What the user chose. The defaults here are the only ones; which combinations are allowed say the rules."""

    mode: Text = "shared"  # shared: one instance; performance: `instances` of them
    instances: int | None = None  # performance mode only; None: from the cores or the GPU's memory
    device: Text = "cpu"  # cpu | gpu (as the model came) | gpu-optimised (compiled for the very device)
    gpus: Few[int] = ()  # KIND_GPU's list; () is every GPU
    group_per_gpu: bool = False  # one instance group entry a GPU instead of one with the list
    max_batch_size: int = 8  # the most that Triton may batch, where the model has a batch axis
    precision: Text = "FP32"  # FP32 (as the model came) | FP16 | INT8
    optimizer: Text = "none"  # none | auto | one of OPTIMIZERS
    calibration: Many[Digest] = ()  # INT8: digests of .npz blobs; (): the package's own samples
    max_drop: float | None = None  # INT8: how much of the task's score may be lost
    tolerances: Mapping[Text, float] = field(default_factory=dict)  # of the verification: name of a measure → bound
    bf16: bool = False  # CPU: compute in bf16 where the CPU has it
    openvino_device: Text = ""  # OpenVINO's device string: CPU, AUTO, HETERO:GPU,CPU, MULTI:CPU,GPU; "" is CPU
    streams: Text = ""  # OpenVINO: how many requests run side by side, or AUTO
    threads: int | None = None  # of the CPU, for each instance; None: an equal share
    performance_hint: Text = ""  # OpenVINO: LATENCY or THROUGHPUT
    compute_capability: Text = ""  # TensorRT-RTX: of the GPU to build for, e.g. 8.9; "" is the one that is here
    shapes: Mapping[Text, Text] = field(default_factory=dict)  # TensorRT: input → least:best:most, e.g. 1x3x8x8:…
    workspace_mb: int | None = None  # TensorRT: MiB of scratch memory that a build may use
    builder_level: int | None = None  # TensorRT: builder optimisation level, 0 to 5
    version_compatible: bool = False  # TensorRT: an engine for later versions too
    hardware_compatible: bool = False  # TensorRT: an engine for other GPUs too
    plugins: Few[Digest] = ()  # TensorRT: digests of shared libraries' blobs
    backend: Text | None = None  # None: the format's own
    dynamic_batching: bool = True
    preferred_batch_sizes: Few[int] = ()
    queue_delay_us: int = 0
    version_policy: Text = LATEST  # latest:N | all | specific:1,3
    kept_versions: int = 1  # contents that stay served, as version folders, for clients that pin one; 1: none but "1"
    residency: Text = PINNED  # pinned: stays loaded | on-demand: loaded at first use, unloaded when idle or in the way
    idle_seconds: int = 300  # on-demand: without a request and a user
    warmup: bool = True
    response_cache: bool = False
    rate_limiter: Mapping[Text, int] = field(default_factory=dict)  # resource name → count
    priority: int = 0  # of the rate limiter
    cuda_graphs: bool = False
    accelerators: Few[Text] = ()  # e.g. tensorrt, openvino: onnxruntime's execution accelerators
    parameters: Mapping[Text, Text] = field(default_factory=dict)
    # tensors: as the model has them | image: pixels in, objects out, in the server | encoded: JPEG or PNG in
    serve: Text = TENSORS
    raw_outputs: bool = False  # serve image or encoded: the model's outputs, too, as raw.NAME
    preprocess: Mapping[Text, object] = field(default_factory=dict)  # over what the package says: `meaning.spec`
    decode: Mapping[Text, object] = field(default_factory=dict)
    stages: Mapping[Text, Mapping[Text, object]] = field(default_factory=dict)  # a stage's own settings over these

    @property
    def on_gpu(self) -> bool:
        """Whether instances run on a GPU."""
        return self.device != "cpu"

    @property
    def optimised(self) -> bool:
        """Whether more is asked for than the model as it came."""
        return self.optimizer != "none" or self.precision != "FP32" or self.device == "gpu-optimised"

    @property
    def unknown_measures(self) -> str:
        """The names of tolerances that no measure has, for a sentence."""
        return ", ".join(name for name in self.tolerances if name not in MEASURES)

    def takes_pictures(self, first: str) -> bool:
        """Whether pictures go in, where `first` is the first stage."""
        return self.for_stage(first).serve != TENSORS

    def for_stage(self, name: str) -> Settings:
        """The settings in force for one stage: the package's with the stage's own laid over them."""
        own = {
            key: tuple(value) if isinstance(value, list) else value for key, value in self.stages.get(name, {}).items()
        }
        return replace(self, stages={}, **own)  # type: ignore[arg-type]


class HandedIn(NamedTuple):
    """The digests of files that settings name."""

    calibration: frozenset[str]
    plugins: frozenset[str]


def references(settings: Settings) -> HandedIn:
    """Those of a package and of each of its stages."""
    everyone = [settings, *(settings.for_stage(stage) for stage in settings.stages)]
    return HandedIn(
        frozenset(digest for one in everyone for digest in one.calibration),
        frozenset(digest for one in everyone for digest in one.plugins),
    )


def difference(now: Settings, after: Settings) -> str:
    """Which settings change, and from what to what."""
    one, other = asdict(now), asdict(after)
    return ", ".join(f"{key}: {one[key]} → {other[key]}" for key in one if one[key] != other[key])


def digest_change(now: str, after: str) -> str:
    """Another content, for a person."""
    return f"{now[:19]} → {after[:19]}"

"""What has to happen to a stage's model for its settings to hold: which converters, one after the other. Pure.

device          optimizer       precision   steps
cpu             openvino        any         OpenVINO IR, FP16 weights or INT8 by NNCF
cpu             onnx            FP16, INT8  FP16 ONNX, QDQ ONNX
cpu             ort-openvino    FP32        none: ONNX Runtime's OpenVINO accelerator
gpu             none            FP32        none: the model as it came
gpu-optimised   tensorrt        any         FP16 or QDQ ONNX, then an engine
gpu-optimised   ort-tensorrt    any         (QDQ ONNX,) ONNX Runtime's TensorRT accelerator
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from tritonpm.convert.converters import CONVERTERS
from tritonpm.core.types import BatchAxis, Format, Package, Stage
from tritonpm.core.units import MIB
from tritonpm.settings.backend import automatic
from tritonpm.settings.settings import Settings

_VERSION = "3"  # of the keys: what was made under another one is made again

# Each optimizer's converters by precision; `converters.CONVERTERS` says which module each is.
STEPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "openvino": {"FP32": ("openvino",), "FP16": ("openvino",), "INT8": ("openvino-int8",)},
    "onnx": {"FP32": (), "FP16": ("onnx-fp16",), "INT8": ("onnx-int8",)},
    "tensorrt": {"FP32": ("tensorrt",), "FP16": ("onnx-fp16", "tensorrt"), "INT8": ("onnx-int8", "tensorrt")},
    "ort-tensorrt": {"FP32": (), "FP16": (), "INT8": ("onnx-int8",)},
    "ort-openvino": {"FP32": ()},
}
ACCELERATED = ("ort-tensorrt", "ort-openvino")


@dataclass(frozen=True)
class Plan:
    """How a stage is optimised; `instead` is what to try where the optimizer takes the model only in part."""

    optimizer: str
    precision: str
    steps: tuple[str, ...]
    accelerator: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""


def plan(format: Format, settings: Settings, *, optimizer: str = "") -> Plan | None:
    """The plan for a stage's model and the settings in force for it; None where the model serves as it came.

    `optimizer` overrides the settings' own: the alternative after a failure.
    """
    if not settings.optimised or format is Format.TENSORRT:
        return None
    chosen = optimizer or settings.optimizer
    instead = ""
    if chosen in ("none", "auto"):
        chosen, instead = _automatic(settings)
    steps = STEPS[chosen].get(settings.precision, ())
    if not steps and chosen not in ACCELERATED:
        return None
    return Plan(chosen, settings.precision, steps, _accelerator(chosen, settings), instead)


def _automatic(settings: Settings) -> tuple[str, str]:
    chosen = automatic(settings)
    return chosen, "ort-tensorrt" if chosen == "tensorrt" else ""


def _accelerator(optimizer: str, settings: Settings) -> dict[str, str]:
    """Parameters of ONNX Runtime's execution accelerator. Source: the README of Triton's onnxruntime backend."""
    if optimizer != "ort-tensorrt":
        return {}
    parameters = {"precision_mode": settings.precision, "trt_engine_cache_enable": "1"}
    if settings.workspace_mb is not None:
        parameters["max_workspace_size_bytes"] = str(settings.workspace_mb * MIB)
    return parameters


@dataclass(frozen=True)
class Work:
    """A stage that its settings ask to be optimised, and the key under which the result is remembered."""

    stage: Stage
    settings: Settings
    plan: Plan
    key: str

    @property
    def needs_samples(self) -> bool:
        """Whether a converter must be calibrated."""
        return any(CONVERTERS[step].needs_samples for step in self.plan.steps)


def works(package: Package, settings: Settings, axes: Mapping[str, BatchAxis], back: Sequence[str] = ()) -> list[Work]:
    """What is to be done for a package; the stages in `back` stay at FP32."""
    works = []
    for stage in package.stages:
        own = settings.for_stage(stage.name)
        if stage.name in back:
            own = replace(own, precision="FP32", optimizer="auto" if own.optimizer == "none" else own.optimizer)
        if stage.config is None and stage.crop is None and (made := plan(stage.format, own)):
            works.append(Work(stage, own, made, _key(package, stage, own, made, axes[stage.name])))
    return works


def _key(package: Package, stage: Stage, settings: Settings, made: Plan, axis: BatchAxis) -> str:
    """Over all that the result depends on: the model's files, what is done to them, what it is proved on and means."""
    s = settings
    model = [package.file(path).digest for path in stage.files]
    samples = [package.file(sample.inputs).digest for sample in (stage.samples or package.samples)]
    parts: list[object] = [_VERSION, stage.model, model, axis.artefact, made, stage.task, s.tolerances, samples]
    parts += [stage.values, proved_batch(s.max_batch_size) if axis.kind != "none" else 0]
    parts += [said for said in (stage.inferred, stage.preprocess, stage.decode, s.preprocess, s.decode) if said]
    if any(CONVERTERS[step].needs_samples for step in made.steps):
        parts += [s.calibration, s.max_drop]
    if made.optimizer == "openvino":
        parts += ["bf16" if s.bf16 else "precise"]
    if made.optimizer in ("tensorrt", "ort-tensorrt"):
        parts += [s.max_batch_size, s.shapes, s.workspace_mb, s.builder_level, s.version_compatible]
        parts += [s.hardware_compatible, s.plugins, s.compute_capability]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def proved_batch(most: int) -> int:
    """The batch at which what is made is proved where so many are allowed: the next of a few, so that less is proved
    anew; a large one as it is."""
    return next((batch for batch in _PROVED if batch >= most), most)


_PROVED = (8, 32, 128)


def cascade_key(package: Package, done: Sequence[Work]) -> str:
    """Of the proof of a cascade end to end."""
    return hashlib.sha256(msgspec.json.encode([_VERSION, package.digest, [work.key for work in done]])).hexdigest()

"""Rules that only warn: settings that have no effect here, most of which go where a change makes them so."""

from __future__ import annotations

from tritonpm.core.types import Format
from tritonpm.settings.backend import single_rows
from tritonpm.settings.rule import Case, Rule
from tritonpm.settings.settings import Settings

UNJOINED = "batching-without-effect"
_OF_OPENVINO = ("openvino_device", "streams", "performance_hint", "bf16")
_OF_TENSORRT = (
    "compute_capability", "shapes", "workspace_mb", "builder_level", "version_compatible", "hardware_compatible",
    "plugins",
)  # fmt: skip
_OF_BATCHING = ("max_batch_size", "preferred_batch_sizes", "queue_delay_us")


def _chosen(case: Case, names: tuple[str, ...]) -> bool:
    """Whether one of the settings is not what the package may have started with."""
    return any(getattr(case.settings, name) not in [getattr(one, name) for one in case.defaults] for name in names)


def _given(settings: Settings, names: tuple[str, ...]) -> bool:
    return any(getattr(settings, name) for name in names)


def _unjoined(case: Case) -> bool:
    """Batching that was chosen, or that a model had before another backend came to serve it."""
    joins = case.axis.kind != "none" and case.settings.max_batch_size > 1 and case.stage.config is None
    if not joins or case.backend != "openvino":
        return False
    return case.stage.format is not Format.OPENVINO or _chosen(case, _OF_BATCHING)


def _single_rows(case: Case) -> bool:
    return _chosen(case, _OF_BATCHING) and single_rows(case.axis.signature or case.stage.signature, case.axis)


def _no_accelerator(case: Case) -> bool:
    on_gpu_only = {"tensorrt", "cuda"} & set(case.settings.accelerators)
    return bool(case.settings.accelerators) and (
        case.backend != "onnxruntime" or bool(on_gpu_only and not case.settings.on_gpu)
    )


EFFECT_RULES: tuple[Rule, ...] = (
    Rule(
        "batching-unproved",
        lambda c: (
            c.axis.kind == "declared"
            and c.stage.config is None
            and c.settings.dynamic_batching
            and c.settings.max_batch_size > 1
        ),
        "Triton combines requests of stage {stage.name!r}, and nothing proves that answers stay right: {axis.reason}",
        "use --no-dynamic-batching, or add such samples to the package",
        level="warning",
        gives_way=("dynamic_batching",),
    ),
    Rule(
        UNJOINED,
        _unjoined,
        "max batch size {s.max_batch_size} has no effect: the openvino backend refuses partial batches, so Triton does "
        "not combine requests of stage {stage.name!r}",
        "for an ONNX model `--optimizer ort-openvino` keeps batching",
        level="warning",
    ),
    Rule(
        "single-rows",
        _single_rows,
        "max batch size {s.max_batch_size} has no effect: an input of stage {stage.name!r} has one value a row, and an "
        "empty batch of these would end the server, so Triton does not combine its requests",
        "send many rows in one request, or export the input with a second dimension of 1",
        level="warning",
    ),
    Rule(
        "openvino-settings",
        lambda c: c.stage.config is None and c.backend != "openvino" and _given(c.settings, _OF_OPENVINO),
        "OpenVINO's device, streams, hint and bf16 have no effect: another backend serves stage {stage.name!r}",
        "use --backend openvino or --optimizer openvino, or unset them",
        level="warning",
        gives_way=_OF_OPENVINO,
    ),
    Rule(
        "tensorrt-settings",
        lambda c: c.settings.device != "gpu-optimised" and _chosen(c, _OF_TENSORRT),
        "what TensorRT builds with has no effect on device {s.device} (stage {stage.name!r})",
        "use --device gpu-optimised, or unset it",
        level="warning",
        gives_way=_OF_TENSORRT,
    ),
    Rule(
        "accelerators",
        lambda c: c.stage.config is None and _no_accelerator(c),
        "the accelerators {s.accelerators} are not available to stage {stage.name!r} on device {s.device}",
        "leave --accelerators out",
        level="warning",
        gives_way=("accelerators",),
    ),
    Rule(
        "absent-gpu",
        lambda c: c.settings.on_gpu and not c.target.gpus and not c.settings.compute_capability,
        "this machine has no GPU, so stage {stage.name!r} cannot be loaded here",
        "use --device cpu, or serve it on a machine with a GPU",
        level="warning",
    ),
)

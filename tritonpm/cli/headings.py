"""Under which heading `--help` lists an option, and which options are so rare that only `--help --all` lists them."""

from __future__ import annotations

from collections.abc import Mapping

Headings = Mapping[str, tuple[str, ...]]

# Of the options that every command has, or every command on a server; what is in no heading stands under "Options".
COMMON: Headings = {
    "Server": (
        "--server", "--server-header", "--server-token-file", "--server-ca", "--server-certificate", "--server-key",
        "--server-timeout",
    ),
    "General": ("--format", "--workspace", "--debug", "--version", "--help"),
}  # fmt: skip

# Of the settings, by the names of their fields; what most people set comes first.
SETTINGS: Headings = {
    "How it is served": ("mode", "instances", "device", "precision", "optimizer", "max_batch_size"),
    "Meaning": ("serve", "preprocess", "decode", "raw_outputs"),
    "Batching": ("dynamic_batching", "queue_delay_us", "preferred_batch_sizes"),
    "CPU and OpenVINO": ("threads", "streams", "performance_hint", "bf16", "openvino_device"),
    "GPU and TensorRT": (
        "gpus", "group_per_gpu", "shapes", "compute_capability", "workspace_mb", "builder_level",
        "version_compatible", "hardware_compatible", "plugins", "cuda_graphs",
    ),
    "Proof": ("tolerances", "max_drop", "calibration"),
    "Serving details": (
        "residency", "idle_seconds", "warmup", "response_cache", "kept_versions", "version_policy", "backend",
        "accelerators", "rate_limiter", "priority", "parameters",
    ),
}  # fmt: skip

RARE = frozenset(
    {
        "preferred_batch_sizes", "performance_hint", "bf16", "openvino_device",
        "group_per_gpu", "compute_capability", "workspace_mb", "builder_level", "version_compatible",
        "hardware_compatible", "plugins", "cuda_graphs",
        "kept_versions", "version_policy", "accelerators", "rate_limiter", "priority", "parameters",
    }
)  # fmt: skip

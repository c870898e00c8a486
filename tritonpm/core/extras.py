"""What comes with tritonpm only where it is asked for: the extras, what they bring, and the sentence that names one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tritonpm.core.errors import RequirementError, TritonpmError

# Each extra of pyproject.toml that code here imports from: the distributions it brings, by the module of each.
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "server": {"pytriton": "nvidia-pytriton", "onnxruntime": "onnxruntime", "openvino": "openvino"},
    "images": {"PIL": "Pillow"},
    "optimize": {"nncf": "nncf"},
    "frameworks": {"keras": "keras", "torch": "torch"},
    "tflite": {"ai_edge_litert": "ai-edge-litert"},
    "tensorflow": {"tensorflow": "tensorflow"},
    "paddle": {"paddle": "paddlepaddle"},
    "tensorrt": {"polygraphy": "polygraphy", "tensorrt": "tensorrt"},
    "tensorrt-rtx": {"tensorrt_rtx": "tensorrt-rtx-cu13-bindings"},
    "stores": {"obstore": "obstore"},
    "registry": {
        "in_toto_attestation": "in-toto-attestation", "model_signing": "model-signing", "oras": "oras",
        "OpenSSL": "pyopenssl", "requests": "requests", "sigstore_models": "sigstore-models", "zstandard": "zstandard",
    },
    "hub": {"huggingface_hub": "huggingface-hub"},
    "mlflow": {"mlflow": "mlflow-skinny"},
    "web": {"babel": "babel", "fastapi": "fastapi", "uvicorn": "uvicorn"},
    "oidc": {"authlib": "Authlib", "httpx2": "httpx2", "itsdangerous": "itsdangerous", "joserfc": "joserfc"},
    "mcp": {"mcp": "mcp"},
    "perf": {"optuna": "optuna"},
    "tritonserver": {"tritonserver": "tritonserver"},
}  # fmt: skip


def install(extra: str) -> str:
    """What to type to get an extra."""
    return f'pip install "tritonpm[{extra}]"'


def extra_of(name: str) -> str:
    """The extra that brings a module or a distribution; "" where none does."""
    root = name.partition(".")[0]
    return next((extra for extra, brought in EXTRAS.items() if root in {*brought, *brought.values()}), "")


def to_install(name: str) -> str:
    """What to type to get a module or a distribution that is missing."""
    extra = extra_of(name)
    return install(extra) if extra else f"pip install {name}"


@contextmanager
def needed(purpose: str, extra: str, kind: type[TritonpmError] = RequirementError) -> Iterator[None]:
    """Import within it what an extra brings. Raises `kind`: what is missing for which purpose, and how to get it."""
    try:
        yield
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise kind(f"{purpose} needs {EXTRAS[extra].get(missing, missing)}", do=install(extra)) from None

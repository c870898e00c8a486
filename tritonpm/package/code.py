"""What runs code when Triton loads it: refused unless whoever imports it says that they trust where it comes from.

Source: Triton's documents on repository agents, custom operations, batch strategies and the Python backend; NVIDIA
calls TensorRT engines executable artefacts, and PyTorch's security policy says the same of its programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from tritonpm.core.errors import UnsafeError
from tritonpm.core.types import CODE_PARAMETERS, Format
from tritonpm.package.signature.tensorrt import MAGIC

RUNNING_FORMATS = {
    Format.TENSORRT: "is a TensorRT plan, which is a program",
    Format.TORCHSCRIPT: "is TorchScript, which is a program",
    Format.TORCH_EXPORT: "is a PyTorch export, which is a program",
}

_STUB = "triton_python_backend_stub"


def code_in_file(path: str, start: bytes) -> str:
    """Why a file of a Triton model folder runs as code on load ("": it does not); `start` are its first bytes."""
    name = PurePosixPath(path).name.lower()
    if name.endswith((".so", ".dll")) or ".so." in name:
        return "is a shared library"
    if name.endswith((".py", ".pyc")) or name == _STUB:
        return "is a program"
    return RUNNING_FORMATS[Format.TENSORRT] if start[:4] in MAGIC else ""


def code_in_parameters(parameters: Mapping[str, object] | Iterable[str]) -> list[str]:
    """The parameters that make Triton load code."""
    return sorted(f"parameter {name}" for name in parameters if name.upper() in CODE_PARAMETERS)


def allow(reason: str, where: str, allow_code: bool) -> None:
    """Raises UnsafeError where there is a `reason` and no permission."""
    if reason and not allow_code:
        raise UnsafeError(
            f"{reason} and would run on the server",
            where=where,
            do="import it with --allow-code if you trust where it comes from",
        )

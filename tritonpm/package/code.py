"""What runs code when Triton loads it: refused unless whoever imports it says that they trust where it comes from.

Source: Triton's documents on repository agents, custom operations, batch strategies and the Python backend; NVIDIA
calls TensorRT engines executable artefacts, and PyTorch's security policy says the same of its programs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tritonpm.core.errors import UnsafeError
from tritonpm.core.parameters import names_a_file
from tritonpm.core.types import Format
from tritonpm.package.members import is_ours
from tritonpm.package.signature import format_of
from tritonpm.package.signature.tensorrt import MAGIC

RUNNING_FORMATS = {
    Format.TENSORRT: "is a TensorRT plan, which is a program",
    Format.TORCHSCRIPT: "is TorchScript, which is a program",
    Format.TORCH_EXPORT: "is a PyTorch export, which is a program",
}
# Backends that run what the model folder brings: programs, pickles, graphs that open files.
RUNNING_BACKENDS = frozenset({
    "python", "vllm", "tensorrtllm", "tensorrt_llm", "dali", "pytorch", "libtorch", "torch_aoti", "tensorrt",
    "tensorflow", "tensorflow1", "tensorflow2", "caffe2", "custom", "paddle", "iree", "armnn_tflite", "sglang",
    "torch", "torchscript", "executorch", "jax", "mlflow", "keras",
})  # fmt: skip

_LIBRARY, _PROGRAM, _PICKLE = "is a shared library", "is a program", "is a pickle, which is a program"
_BY_ENDING = {
    **dict.fromkeys((".so", ".dll", ".dylib", ".pyd"), _LIBRARY),
    **dict.fromkeys((".py", ".pyc", ".pyo", ".pyw", ".egg", ".whl", ".jar", ".wasm"), _PROGRAM),
    **dict.fromkeys((".sh", ".bash", ".bat", ".cmd", ".ps1", ".exe", ".cubin", ".ptx", ".fatbin"), _PROGRAM),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
}  # fmt: skip
_STUB = "triton_python_backend_stub"
_MACH_O = tuple(bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe"))
_OBJECTS = (b"!<arch>\n", b"\0asm")  # a static library, WebAssembly
_SCRIPT = re.compile(rb"#![ \t]*[!-~]{4}")
_ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")  # a PyTorch archive, an egg
_DATA_ARCHIVES = (".npz", ".zip")
_HEAD = 4096


def code_in_file(path: str, file: Path) -> str:
    """Why a file of a Triton model folder runs as code on load, by its name and content ("": it does not)."""
    return "" if is_ours(file) else code_in_name(path) or _code_in_content(path, file)


def code_in_name(path: str) -> str:
    """Why a file of that name would be taken for code ("": it would not)."""
    name = PurePosixPath(path).name.lower()
    if name == _STUB:
        return _PROGRAM
    if ".so." in name:
        return _LIBRARY
    return _BY_ENDING.get(PurePosixPath(name).suffix, "") or RUNNING_FORMATS.get(format_of(name) or Format.OTHER, "")


def _code_in_content(path: str, file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        if head[:4] == b"\x7fELF" or head[:4] in _MACH_O or head.startswith(_OBJECTS) or _is_windows(head, stream):
            return _LIBRARY
    if _SCRIPT.match(head) or _is_bytecode(head):
        return _PROGRAM
    if head[:4] in MAGIC:
        return RUNNING_FORMATS[Format.TENSORRT]
    if head[:4] in _ARCHIVE and not path.lower().endswith(_DATA_ARCHIVES):
        return RUNNING_FORMATS[Format.TORCHSCRIPT]
    return _PICKLE if _is_pickle(head, file.stat().st_size) else ""


def _is_windows(head: bytes, stream: BinaryIO) -> bool:
    """Weights may begin with MZ too: what follows decides."""
    if head[:2] != b"MZ" or len(head) < 64 or head[2:8] == b"\x90\0\3\0\0\0":
        return head[:2] == b"MZ"
    stream.seek(int.from_bytes(head[60:64], "little"))
    return stream.read(4) == b"PE\0\0"


def _is_bytecode(head: bytes) -> bool:
    """Python's own: a number of its version, a line's end, flags."""
    version, flags = int.from_bytes(head[:2], "little"), int.from_bytes(head[4:8], "little")
    return head[2:4] == b"\r\n" and 3000 <= version < 4000 and flags < 4


def _is_pickle(head: bytes, size: int) -> bool:
    """A protocol and, of the later ones, the length of a frame; of the earlier ones, how PyTorch's and most begin."""
    if head[:1] != b"\x80" or len(head) < 11:
        return False
    if head[1:3] in (b"\x04\x95", b"\x05\x95"):
        return int.from_bytes(head[3:11], "little") <= size
    return head[1:2] in (b"\x02", b"\x03") and (head[2:4] == b"\x8a\x0a" or head[2:3] in b"c}](")


def code_in_parameters(parameters: Mapping[str, str]) -> list[str]:
    """The parameters that make Triton load or follow files."""
    return sorted(f"parameter {name}" for name, value in parameters.items() if names_a_file(name, value))


def allow(reason: str, where: str, allow_code: bool) -> None:
    """Raises UnsafeError where there is a `reason` and no permission."""
    if reason and not allow_code:
        raise UnsafeError(
            f"{reason} and would run on the server",
            where=where,
            do="import it with --allow-code if you trust where it comes from",
        )

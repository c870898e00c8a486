"""`tritonpm lint`: what Triton would say of a repository, or of one model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format

if TYPE_CHECKING:
    from tritonpm.core.types import Finding, Signature
    from tritonpm.repository.lint.contents import ReadSignature


_MOST = 200  # models that are given to the runtime, which takes a part of a second for each


def lint(folder: Path, target: str = "") -> list[Finding]:
    """What Triton would say of a repository, or of one model folder.

    `target` names releases, such as 24.10, 24.10,25.10 or 24.10..26.08; what each of them lacks is told of each.
    Raises NotFoundError, UsageError.
    """
    from tritonpm.core.releases import span
    from tritonpm.repository import lint as linting

    is_model = any((folder / name).exists() for name in ("config.pbtxt", "1"))
    look = linting.lint_model if is_model else linting.lint
    return look(folder, reader(folder), span(target) if target else ())


def reader(folder: Path) -> ReadSignature:
    """Reads model files under `folder`, with their outputs as the runtime infers them where it loads them."""
    from tritonpm.convert.describing import described, exact, refused_by_openvino
    from tritonpm.package import read_signature

    models = [path for path in sorted(folder.rglob("*.onnx")) if path.is_file() and not path.is_symlink()]
    inferred = described(models[:_MOST])

    def read(path: Path, backend: str) -> tuple[Signature, bool]:
        onnx = backend == "onnxruntime" or path.suffix == ".onnx"  # OpenVINO reads both
        _, signature = read_signature(path, Format.ONNX if onnx else Format.OPENVINO)
        if backend == "openvino" and onnx and (reason := refused_by_openvino(path)):
            raise PackageError(f"OpenVINO cannot read it: {reason}", where=str(path))
        return exact(signature, inferred.get(path, {})), path in inferred

    return read

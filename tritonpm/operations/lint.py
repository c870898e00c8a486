"""`tritonpm lint`: what Triton would say of a repository, or of one model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.core.types import Finding, Format, Signature
    from tritonpm.repository.lint.contents import ReadSignature


_MOST = 200  # models that are given to the runtime, which takes a part of a second for each


def lint(folder: Path) -> list[Finding]:
    """What Triton would say of a repository, or of one model folder."""
    from tritonpm.repository import lint as linting

    is_model = any((folder / name).exists() for name in ("config.pbtxt", "1"))
    look = linting.lint_model if is_model else linting.lint
    return look(folder, reader(folder))


def reader(folder: Path) -> ReadSignature:
    """Reads model files under `folder`, with their outputs as the runtime infers them where it loads them."""
    from tritonpm.convert.describing import described, exact
    from tritonpm.package import read_signature

    models = [path for path in sorted(folder.rglob("*.onnx")) if path.is_file() and not path.is_symlink()]
    inferred = described(models[:_MOST])

    def read(path: Path, format: Format) -> tuple[Signature, bool]:
        _, signature = read_signature(path, format)
        return exact(signature, inferred.get(path, {})), path in inferred

    return read

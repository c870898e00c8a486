"""`tritonpm lint`: what Triton would say of a repository, or of one model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.core.types import Finding


def lint(folder: Path) -> list[Finding]:
    """What Triton would say of a repository, or of one model folder."""
    from tritonpm.package import read_signature
    from tritonpm.repository import lint as linting

    is_model = any((folder / name).exists() for name in ("config.pbtxt", "1"))
    look = linting.lint_model if is_model else linting.lint
    return look(folder, lambda path: read_signature(path)[1])

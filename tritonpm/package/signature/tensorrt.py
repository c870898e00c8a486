"""TensorRT plans. What they hold only TensorRT can tell, and only on the GPU they were built for.

Ultralytics writes its metadata before the plan: their length in four bytes, little-endian, and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tritonpm.core.errors import PackageError
from tritonpm.package.limits import Limits

MAGIC = (b"ftrt", b"ptrt")  # how TensorRT's serialized engines begin


def read(path: Path, where: str, limits: Limits) -> tuple[int, dict[str, str]]:
    """At which byte the plan begins, and what was written before it. Raises PackageError where the file is no plan."""
    with path.open("rb") as stream:
        head = stream.read(4)
        if head in MAGIC:
            return 0, {}
        length = int.from_bytes(head, "little")
        if length <= limits.manifest:
            metadata = _metadata(stream.read(length))
            if metadata and stream.read(4) in MAGIC:
                return 4 + length, metadata
    raise PackageError("is not a TensorRT plan", where=where, do="build or copy it again")


def _metadata(raw: bytes) -> dict[str, str]:
    """The values as text, as other formats' metadata are; {} where this is no JSON object."""
    try:
        told = json.loads(raw) if raw.startswith(b"{") else None
    except (ValueError, RecursionError):
        return {}
    named = told if isinstance(told, Mapping) else {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in named.items()}

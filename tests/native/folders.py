"""287 model folders, and whether Triton's native onnxruntime and openvino backends of two releases loaded them.

`verdicts.json` holds each folder's files (a model by its key in `models`, base64) and `loads`, by release.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _data() -> dict[str, Any]:
    return dict(json.loads((Path(__file__).parent / "verdicts.json").read_text(encoding="utf-8")))


def names() -> list[str]:
    """The folders: `o_…` for onnxruntime, `v_…` for openvino."""
    return sorted(_data()["cases"])


def loads(name: str) -> tuple[bool, bool]:
    """Whether the native backend loaded it, in 24.10 and in 26.06."""
    older, newer = _data()["cases"][name]["loads"]
    return older, newer


def write(root: Path, name: str) -> Path:
    """The folder, written into a repository."""
    case = _data()["cases"][name]
    for folder in case.get("folders", ()):
        (root / name / folder).mkdir(parents=True, exist_ok=True)
    for path, content in case["files"].items():
        place = root / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        whole = content.encode() if isinstance(content, str) else base64.b64decode(_data()["models"][content["model"]])
        place.write_bytes(whole)
    (root / name).mkdir(exist_ok=True)
    return root / name

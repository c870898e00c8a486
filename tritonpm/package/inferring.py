"""What wrote a model of a package, and said of its meaning: in the model, and in the documents beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from tritonpm.core.errors import ManifestError
from tritonpm.core.types import Stage
from tritonpm.meaning.inferred import BESIDE, Sources, inferred
from tritonpm.package.document import load
from tritonpm.package.limits import Limits
from tritonpm.package.signature import InspectedModel


def with_inferred(stage: Stage, model: InspectedModel, root: Path, limits: Limits) -> Stage:
    """The stage with what the exporter wrote, and with its class names where the stage has none."""
    parent = PurePosixPath(stage.model).parent
    folder = "" if parent == PurePosixPath() else f"{parent}/"
    beside = {name: document for name in BESIDE if (document := _document(root / folder / name, limits)) is not None}
    layers, labels = inferred(Sources(model.metadata, beside, stage.signature, model.softmax, folder))
    signature = stage.signature if stage.signature.labels else replace(stage.signature, labels=labels)
    return replace(stage, inferred=layers, signature=signature)


def _document(path: Path, limits: Limits) -> Any:
    """A small document; None where there is none that can be understood: it is nothing that a package promises."""
    if not path.is_file():
        return None
    if path.name == "tokenizer.json":  # that it is there is all that is asked
        return {}
    if path.stat().st_size > limits.manifest:
        return None
    try:
        if path.suffix == ".json":
            return json.loads(path.read_bytes())
        return load(path.read_bytes(), path.name, limits)
    except (ManifestError, ValueError, RecursionError):
        return None

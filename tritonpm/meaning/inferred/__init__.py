"""What exporters write of a model's meaning, into it and beside it: a module an exporter.

Nothing is taken from shapes alone: a shape only tells the size of a picture whose preparation somebody wrote down.
What an exporter writes and nobody here understands stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tritonpm.core.types import Signature
from tritonpm.meaning.inferred.found import Found
from tritonpm.meaning.spec import decode, preprocess
from tritonpm.meaning.stages import Meaning, problems

BESIDE = ("metadata.yaml", "preprocessor_config.json", "config.json", "inference.yml", "tokenizer.json")


@dataclass(frozen=True)
class Sources:
    """What there is to read: the model's own metadata, and the documents beside it by file name."""

    metadata: Mapping[str, str]
    beside: Mapping[str, Any]
    signature: Signature
    softmax: bool | None = None  # whether the model ends in one, where its file tells
    folder: str = ""  # of the model, inside the package


def inferred(sources: Sources) -> tuple[dict[str, dict[str, dict[str, object]]], tuple[str, ...]]:
    """What wrote the model → what it says, as `Stage.inferred`; and class names. Each part is of the best source."""
    from tritonpm.meaning.inferred import huggingface, model_api, paddle, torchvision, ultralytics

    layers: dict[str, dict[str, dict[str, object]]] = {}
    labels: tuple[str, ...] = ()
    for reader in (ultralytics.read, model_api.read, huggingface.read, paddle.read, torchvision.read):
        found = _found(reader, sources)
        if found is None:
            continue
        labels = labels or found.labels
        known = {part for parts in layers.values() for part in parts}
        if parts := {part: said for part, said in _sound(found, sources.signature).items() if part not in known}:
            layers[found.who] = parts
    return layers, labels


def _found(reader: Callable[[Sources], Found | None], sources: Sources) -> Found | None:
    """None also for a document of the right name and of another form: whoever wrote it, it is none that is known."""
    try:
        return reader(sources)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _sound(found: Found, signature: Signature) -> dict[str, dict[str, object]]:
    """What can be, and fits the tensors; a part that does not is left out, as if nobody had written it."""
    parts: dict[str, dict[str, object]] = {}
    with suppress(ValueError):
        if found.preprocess and not any(problems(Meaning(preprocess=preprocess(found.preprocess)), signature)):
            parts["preprocess"] = dict(found.preprocess)
    with suppress(ValueError):
        if found.decode and not any(problems(Meaning(decode=decode(found.decode)), signature)):
            parts["decode"] = dict(found.decode)
    return parts

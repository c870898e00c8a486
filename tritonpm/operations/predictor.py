"""Pictures in, objects out, of a package that is loaded: what `infer --image` and the client's `predict` ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.tensors import Array
from tritonpm.core.types import Signature
from tritonpm.meaning.objects import Objects
from tritonpm.meaning.pictures import pixels
from tritonpm.meaning.predict import Infer, predict, required
from tritonpm.meaning.served import predict_served, sent, takes_encoded
from tritonpm.meaning.spec import Condition, condition
from tritonpm.meaning.stages import Meaning
from tritonpm.meaning.verdict import Judgement, judged
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.meanings import hands_in_pictures, meaning_of
from tritonpm.perf.inputs import batching

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


@dataclass(frozen=True)
class Predictor:
    """A package by its meaning; `most` are the pictures that one request takes."""

    name: str
    meaning: Meaning
    signature: Signature
    infer: Infer
    most: int
    fronted: bool = False  # the server takes pictures
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def encoded(self) -> bool:
        """Whether the server decodes, so that files need not be read here."""
        return self.fronted and takes_encoded(self.signature)

    def __call__(self, pictures: Sequence[Array | Path]) -> tuple[Objects, ...]:
        """What each picture (UINT8, [height, width, 3]: red, green, blue; or a file) holds. Raises InferenceError."""
        if self.fronted:
            required(self.name, self.meaning)
            return tuple(predict_served(self.meaning, sent(self.signature, pictures), self.infer, most=self.most))
        seen = [pixels(one) for one in pictures]
        return tuple(predict(self.name, self.meaning, self.signature, seen, self.infer, most=self.most))

    def judged(self, objects: Objects) -> Judgement | None:
        """The package's verdict on what a picture holds; None where it has none."""
        return judged(self.conditions, objects) if self.conditions else None


def predictor_of(
    context: Context, name: str, client: Client, version: str = "", infer: Infer | None = None
) -> Predictor:
    """The predictor of a package that is loaded; `infer` asks it where that is not the client.

    Raises NotFoundError, PackageError where the package does not say what its tensors mean.
    """
    record = context.catalogue.get(name)
    meaning = meaning_of(record.package, record.settings)
    required(name, meaning)
    signature = client.metadata(name, version)

    def ask(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return client.infer(name, inputs, version=version)

    fronted = hands_in_pictures(record.package, record.settings, signature)
    conditions = {label: condition(said) for label, said in record.package.verdict.items()}
    most = _most(context, record, client, signature)
    return Predictor(name, meaning, signature, infer or ask, most, fronted, conditions)


def _most(context: Context, record: Record, client: Client, signature: Signature) -> int:
    """What one request may hold; where the model itself batches, what the package asks for."""
    config = client.config(record.package.name)
    axis = all(axis.kind != "none" for axis in batch_axes(context, record.package).values())
    who = batching(config, signature, axis=axis)
    if who == "none":
        return 1
    return int(config["max_batch_size"]) if who == "triton" else record.settings.max_batch_size

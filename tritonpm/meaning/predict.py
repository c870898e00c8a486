"""Pictures in, objects out, with whoever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tritonpm.core.errors import InferenceError, PackageError
from tritonpm.core.tensors import Array
from tritonpm.core.types import Signature
from tritonpm.meaning.objects import Objects
from tritonpm.meaning.pictures import batches
from tritonpm.meaning.preprocess import Prepared, prepare, stacked
from tritonpm.meaning.spec import Decode, Preprocess
from tritonpm.meaning.stage_answer import StageAnswer
from tritonpm.meaning.stages import Meaning
from tritonpm.meaning.whole import decoded_whole

Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def predict(
    name: str, meaning: Meaning, signature: Signature, pictures: Sequence[Array], infer: Infer, *, most: int = 1
) -> Iterator[Objects]:
    """What each picture (UINT8, [height, width, 3]) holds; at most so many pictures of one size in a request.

    Raises PackageError where the package does not say what its tensors mean, InferenceError.
    """
    first, _ = required(name, meaning)
    prepared = [prepared_for(name, first, signature, picture) for picture in pictures]
    together = most if first.layout[0] == "N" else 1
    for part in batches((_size(one) for one in prepared), together):
        yield from _answered(name, meaning.answers, prepared[part], infer)


def prepared_for(name: str, first: Preprocess, signature: Signature, picture: Array) -> Prepared:
    """One picture as a served model's inputs. Raises PackageError where it has none of what the package names."""
    if first.tokenizer:
        raise PackageError("takes text, not pictures", where=name, do="give its tensors, an .npz")
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
    if missing := sorted({*filter(None, (first.input, *first.geometry))} - set(dtypes)):
        raise PackageError(f"says of an input {missing[0]!r}, and the server has {', '.join(dtypes)}", where=name,
                           do="name it as the package does (`tritonpm set --preprocess input=NAME`)")  # fmt: skip
    return prepare(picture, first, dtypes)


def required(name: str, meaning: Meaning) -> tuple[Preprocess, Decode]:
    """What is needed to provide pictures and to get objects. Raises PackageError where either is unknown."""
    for part, known in (("preprocess", meaning.preprocess), ("decode", meaning.decode)):
        if known is None:
            do = f"declare it in package.yaml, or with `tritonpm set {name} --{part} FIELD=VALUE`"
            raise PackageError(f"does not declare its `{part}`, nor does what exported its model", where=name, do=do)
    assert meaning.preprocess is not None and meaning.decode is not None  # noqa: S101 (the loop has seen to it)
    return meaning.preprocess, meaning.decode


def _size(prepared: Prepared) -> tuple[int, ...]:
    return prepared.geometry.input


def _answered(
    name: str, parts: Sequence[StageAnswer], prepared: Sequence[Prepared], infer: Infer
) -> tuple[Objects, ...]:
    answer = infer(stacked(prepared) if len(prepared) > 1 else prepared[0].inputs)
    try:
        return decoded_whole(answer, parts, [one.geometry for one in prepared])
    except ValueError as error:
        raise InferenceError(
            str(error), where=name, do="correct `decode` (`tritonpm show` says what is known)"
        ) from None

"""What the answer of several stages holds: each stage's objects, and what is said of one object beside that object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode import decoded, pictures_of, there, undropped
from tritonpm.meaning.geometry import Geometry, identity
from tritonpm.meaning.objects import Detection, Object, Objects
from tritonpm.meaning.stage_answer import StageAnswer


def decoded_whole(
    answer: Mapping[str, Array], parts: Sequence[StageAnswer], geometries: Sequence[Geometry]
) -> tuple[Objects, ...]:
    """What each picture of a request holds. Raises ValueError where the answer is not what the package says of it."""
    pictures: list[list[Object]] = [[] for _ in geometries]
    for part in parts:
        if part.of:
            continue
        rows = [one for one in parts if one.of and one.of == part.stage]
        if rows:
            for place, objects in enumerate(_with_rows(answer, part, rows, geometries)):
                pictures[place] += objects
            continue
        for place, found in enumerate(decoded(answer, part.decode, part.labels, geometries)):
            pictures[place] += found
    return tuple(tuple(objects) for objects in pictures)


def pictures_of_whole(answer: Mapping[str, Array], parts: Sequence[StageAnswer]) -> int:
    """Of how many pictures an answer is. Raises ValueError where it is none of that kind."""
    return max(pictures_of(answer, part.decode) for part in parts if not part.of)


def _with_rows(
    answer: Mapping[str, Array], part: StageAnswer, rows: Sequence[StageAnswer], geometries: Sequence[Geometry]
) -> list[list[Object]]:
    """Boxes, each with what later stages say of it. What they say of the crop that stands for none is left out."""
    whole = undropped(answer, part.decode, part.labels, geometries)
    boxes = [one for objects in whole for one in objects if isinstance(one, Detection)]
    said: list[list[Object]] = [[] for _ in boxes]
    for row in rows if boxes else ():
        own = {name: array[: len(boxes)] for name, array in answer.items() if name in row.decode.outputs.values()}
        for place, objects in enumerate(undropped(own, row.decode, row.labels, [identity(*row.size)] * len(boxes))):
            said[place] += objects
    answered = iter([replace(box, answers=tuple(one)) for box, one in zip(boxes, said, strict=True)])
    return [[one for one in (next(answered) for _ in objects) if there(one, part.decode)] for objects in whole]


def without_answers(objects: Objects) -> Objects:
    """What is found, without what later stages say of it."""
    return tuple(replace(one, answers=()) if isinstance(one, Detection) else one for one in objects)

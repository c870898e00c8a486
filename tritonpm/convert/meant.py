"""Two answers compared by what the package says that they mean: objects, not tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonpm.core.tensors import Array
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.matching import Match, altogether, matched
from tritonpm.meaning.spec import Decode
from tritonpm.meaning.stage_answer import StageAnswer
from tritonpm.meaning.stages import Meaning
from tritonpm.meaning.whole import decoded_whole, pictures_of_whole

_SIZE = (320, 320)  # of the pictures that are thought of, where nobody says it: shares of overlap do not hang on it


@dataclass(frozen=True)
class Meant:
    """What answers are, and the (height, width) of the pictures that they are of."""

    decode: Decode
    size: tuple[int, int] = _SIZE
    parts: tuple[StageAnswer, ...] = ()  # of several stages that answer

    def match(self, want: Mapping[str, Array], got: Mapping[str, Array]) -> Match | None:
        """All pictures of two answers; None where the original's own answer is none of that kind.

        Raises ValueError where the other's is none.
        """
        parts = self.parts or (StageAnswer("", self.decode),)  # without labels: classes are compared by number
        try:
            geometries = [identity(*self.size)] * pictures_of_whole(want, parts)
            first = decoded_whole(want, parts, geometries)
        except ValueError:
            return None
        pairs = zip(first, decoded_whole(got, parts, geometries), strict=True)
        return altogether([matched(one, other, score=self.decode.score) for one, other in pairs])


def meant(meaning: Meaning) -> Meant | None:
    """What is known of a stage's answers; None where nobody says it."""
    if meaning.decode is None:
        return None
    size = meaning.preprocess.size if meaning.preprocess else None
    return Meant(meaning.decode, size or _SIZE, meaning.parts)

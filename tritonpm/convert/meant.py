"""Two answers compared by what the package says that they mean: objects, not tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode import decoded, pictures_of
from tritonpm.meaning.geometry import identity
from tritonpm.meaning.matching import Match, altogether, matched
from tritonpm.meaning.spec import Decode
from tritonpm.meaning.stages import Meaning

_SIZE = (320, 320)  # of the pictures that are thought of, where nobody says it: shares of overlap do not hang on it


@dataclass(frozen=True)
class Meant:
    """What answers are, and the (height, width) of the pictures that they are of."""

    decode: Decode
    size: tuple[int, int] = _SIZE

    def match(self, want: Mapping[str, Array], got: Mapping[str, Array]) -> Match | None:
        """All pictures of two answers; None where the original's own answer is none of that kind.

        Raises ValueError where the other's is none.
        """
        try:
            geometries = [identity(*self.size)] * pictures_of(want, self.decode)
            first = decoded(want, self.decode, (), geometries)
        except ValueError:
            return None
        pairs = zip(first, decoded(got, self.decode, (), geometries), strict=True)
        return altogether([matched(one, other, score=self.decode.score) for one, other in pairs])


def meant(meaning: Meaning) -> Meant | None:
    """What is known of a stage's answers; None where nobody says it."""
    if meaning.decode is None:
        return None
    size = meaning.preprocess.size if meaning.preprocess else None
    return Meant(meaning.decode, size or _SIZE)

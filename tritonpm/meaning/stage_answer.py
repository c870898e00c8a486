"""One stage's share of an answer that several stages give."""

from __future__ import annotations

from dataclasses import dataclass

from tritonpm.meaning.spec import Decode

_CROP = (32, 32)  # of a crop whose size nobody says


@dataclass(frozen=True)
class StageAnswer:
    """One stage's share of the answer, its tensors by their names in it. `of` is the stage whose boxes its rows are of.

    "": its rows are pictures. `size` is then unused; else that of a crop.
    """

    stage: str
    decode: Decode
    labels: tuple[str, ...] = ()
    of: str = ""
    size: tuple[int, int] = _CROP

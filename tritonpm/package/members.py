"""Models in Python of our own, which are rendered into a repository: code that needs nobody's permission."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_HOME = Path(__file__).parents[1]
_FOLDER = _HOME / "backends" / "members"
_TAKEN = re.compile(r"^from tritonpm\.meaning\.(\w+) import .+\n", re.MULTILINE)  # imports nothing of tritonpm itself
_LEFT_OUT = re.compile(r"^from __future__ import .+\n|^if TYPE_CHECKING:\n(?:    .+\n|\n(?=    ))+", re.MULTILINE)
FILE = "model.py"  # what the Python backend runs of a version folder
ENCODED = "encoded"  # decodes JPEG and PNG; needs Pillow


@cache
def source(name: str) -> bytes:
    """The program of that name, and in it the modules of ours that it takes from: where it runs is no tritonpm."""
    return _TAKEN.sub(_within, (_FOLDER / f"{name}.py").read_text("utf-8")).encode()


def _within(line: re.Match[str]) -> str:
    return _LEFT_OUT.sub("", (_HOME / "meaning" / f"{line[1]}.py").read_text("utf-8"))


def is_ours(file: Path) -> bool:
    """Whether a file is such a program, to the bit."""
    if file.name != FILE or not file.is_file():
        return False
    size, ours = file.stat().st_size, [source(path.stem) for path in _FOLDER.glob("*.py")]
    return size in map(len, ours) and file.read_bytes() in ours  # what is of another size is not read

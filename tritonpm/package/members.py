"""Models in Python of our own, which are rendered into a repository: code that needs nobody's permission."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "backends" / "members"
FILE = "model.py"  # what the Python backend runs of a version folder
ENCODED = "encoded"  # decodes JPEG and PNG; needs Pillow


@cache
def source(name: str) -> bytes:
    """The program of that name."""
    return (_FOLDER / f"{name}.py").read_bytes()


def is_ours(file: Path) -> bool:
    """Whether a file is such a program, to the bit."""
    if file.name != FILE or not file.is_file():
        return False
    size, ours = file.stat().st_size, [source(path.stem) for path in _FOLDER.glob("*.py")]
    return size in map(len, ours) and file.read_bytes() in ours  # what is of another size is not read

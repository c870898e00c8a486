"""What the manager's image is built of: its Dockerfile and all that it copies, of the checkout or inside the wheel."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
FOLDER = "manager"  # of a deployment: what its image is built of
_FILES = ("Dockerfile", "README.md", "hatch_build.py", "pyproject.toml", "requirements.lock")
_LICENCES = ("LICENSE", "NOTICE")
_LEFT_OUT = {"__pycache__", "_source", "_templates"}


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the checkout that this tritonpm runs from, so that the image is built of it as it is."""
    return folder.resolve() == _PACKAGE.parent and (folder / "Dockerfile").is_file()


def sources() -> Iterator[tuple[str, Path]]:
    """Each file: its path in the folder that is built, and where it lies here."""
    from tritonpm.repository.templates import packaged

    kept = _PACKAGE / "_source"
    base = kept if kept.is_dir() else _PACKAGE.parent
    for name in _FILES:
        yield name, base / name
    for name in _LICENCES:
        yield name, _of_the_wheel(name) if kept.is_dir() else base / name
    for folder, place in (("templates", packaged()), ("tritonpm", _PACKAGE)):
        for path in sorted(place.rglob("*")):
            inside = path.relative_to(place)
            if path.is_file() and not _LEFT_OUT & {*inside.parts} and path.suffix not in (".pyc", ".so"):
                yield f"{folder}/{inside}", path


def _of_the_wheel(licence: str) -> Path:
    """Where pip has put it: a wheel's licences lie in its dist-info."""
    listed = metadata.files("tritonpm") or ()
    return next(Path(str(file.locate())) for file in listed if file.match(f"licenses/{licence}"))

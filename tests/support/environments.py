"""Python environments as `pip install "tritonpm[…]"` makes them: links to what this one has, and nothing is fetched."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tritonpm.triton import compiled

ROOT = Path(__file__).parents[2]


def environment(folder: Path, extras: Iterable[str]) -> dict[str, str]:
    """The variables of an environment in `folder` with tritonpm, what it always needs, and these extras."""
    venv.EnvBuilder(symlinks=True).create(folder)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages, here = folder / "lib" / version / "site-packages", Path(sysconfig.get_path("purelib"))
    for name in _closure("tritonpm", frozenset(extras)):
        for top in {file.parts[0] for file in metadata.distribution(name).files or ()} - {"..", "__pycache__"}:
            if (here / top).exists() and not (packages / top).exists():
                (packages / top).symlink_to(here / top)
    put_backends(folder)
    return {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)}


def put_backends(home: Path) -> None:
    """Give a user's home the compiled backends, which it would make anew."""
    for name in compiled.NAMES:
        compiled.chosen(name)
    place = compiled.place()
    shutil.copytree(place, home / ".cache/tritonpm" / place.name, dirs_exist_ok=True)


def _closure(name: str, extras: frozenset[str]) -> set[str]:
    """All distributions but the first that it needs with these extras, as far as they are here."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(_needed(name, extras))
    while waiting:
        needed = waiting.pop()
        if needed not in seen:
            seen.add(needed)
            waiting += _needed(*needed)
    return {found for found, _ in seen if found != name}


def _needed(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            continue
        wanted = canonicalize_name(requirement.name)
        try:
            metadata.distribution(wanted)
        except metadata.PackageNotFoundError:
            continue
        yield wanted, frozenset(requirement.extras)

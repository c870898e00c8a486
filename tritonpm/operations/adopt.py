"""`tritonpm adopt`: every model of a repository that Triton serves becomes a package of its name, ensembles too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, TritonpmError

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class AdoptedModel:
    """What became of one model folder: a package of its name, or the sentence that says why not."""

    name: str
    members: tuple[str, ...] = ()  # of an ensemble
    refused: str = ""
    notes: tuple[str, ...] = ()


def adopt(
    context: Context, root: Path, *, allow_code: bool = False, ignore_requirements: bool = False
) -> list[AdoptedModel]:
    """Import each model folder of the repository at `root` as it is, members before the ensembles that join them.

    What one model is refused for keeps only it, and what is made of it, out. Raises NotFoundError where there is no
    repository, NameTakenError where one of its names is taken: before anything is imported.
    """
    from tritonpm.operations.import_package import import_package

    folders = _folders(root)
    if not folders:
        raise NotFoundError("holds no model folder", where=str(root), do="name a repository that Triton serves")
    for name in folders:
        context.catalogue.require_free(name)
    members = {name: _members(folder) for name, folder in folders.items()}
    adopted: dict[str, AdoptedModel] = {}
    for name in _members_first(members):
        absent = [member for member in members[name] if member not in adopted or adopted[member].refused]
        try:
            if absent:
                raise NotFoundError(
                    f"its member {absent[0]} is not adopted", where=name, do="see what is wrong with that"
                )
            view = import_package(
                context, folders[name], name=name, allow_code=allow_code, ignore_requirements=ignore_requirements,
                again=True,
            )  # fmt: skip
            adopted[name] = AdoptedModel(name, members[name], notes=view.notes)
        except TritonpmError as error:
            adopted[name] = AdoptedModel(name, members[name], refused=str(error))
    return [adopted[name] for name in folders]


def _folders(root: Path) -> dict[str, Path]:
    """The model folders of a repository: with a config.pbtxt, or a version's folder, as Triton looks for them."""
    if not root.is_dir():
        raise NotFoundError("there is no such folder", where=str(root), do="name a repository that Triton serves")
    inside = (entry for entry in sorted(root.iterdir()) if entry.is_dir())
    return {
        entry.name: entry
        for entry in inside
        if (entry / "config.pbtxt").is_file()
        or any(inner.name.isdigit() and inner.is_dir() for inner in entry.iterdir())
    }


def _members(folder: Path) -> tuple[str, ...]:
    """Of an ensemble; a config that cannot be read is refused at its import."""
    from tritonpm.package.config import FILE, parse, steps

    try:
        return steps(parse((folder / FILE).read_bytes(), str(folder)))
    except (OSError, TritonpmError):
        return ()


def _members_first(members: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Every name once, after its members; one of a circle after as many as can be."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name not in done and name in members:
            done.add(name)
            for member in members[name]:
                yield from visit(member)
            yield name

    for name in members:
        yield from visit(name)

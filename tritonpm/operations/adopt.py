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
    context: Context, repository: str | Path, *, allow_code: bool = False, ignore_requirements: bool = False
) -> list[AdoptedModel]:
    """Import each model folder of a repository as it is, members before the ensembles that join them.

    A model whose name no package may have gets the nearest that is one, for the ensembles that join it as well.
    `repository` is a folder or the URL of an object store, as Triton takes it. What one model is refused for keeps only
    it, and what is made of it, out. Raises NotFoundError where there is no repository, NameTakenError where one of its
    names is taken: before anything is imported; StorageError, UsageError, RequirementError of a store.
    """
    from tritonpm.operations.adopted_names import joining_packages, package_names
    from tritonpm.operations.import_package import import_package
    from tritonpm.operations.repository_source import repository_source

    source = repository_source(context, str(repository))
    members, names = source.members, package_names(source.members)
    for name in names.values():
        context.catalogue.require_free(name)
    adopted: dict[str, AdoptedModel] = {}
    for model in _members_first(members):
        name, joined = names[model], {member: names.get(member, member) for member in members[model]}
        parts = tuple(joined[member] for member in members[model])
        absent = [member for member in members[model] if member not in adopted or adopted[member].refused]
        try:
            if absent:
                raise NotFoundError(
                    f"its member {absent[0]} is not adopted", where=model, do="see what is wrong with that"
                )
            with source.folder(model) as own, joining_packages(context, own, joined) as folder:
                view = import_package(
                    context, folder, name=name, allow_code=allow_code, ignore_requirements=ignore_requirements,
                    again=True,
                )  # fmt: skip
            renamed = (f"{model} is no name for a package: clients ask for {name} here",) if name != model else ()
            adopted[model] = AdoptedModel(name, parts, notes=(*renamed, *view.notes))
        except TritonpmError as error:
            adopted[model] = AdoptedModel(name, parts, refused=str(error).removeprefix(f"{model}: "))
    return [adopted[model] for model in members]


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

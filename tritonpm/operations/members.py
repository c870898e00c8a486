"""Adopted ensembles join packages by their names: which each joins, and which joins one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.core.errors import BusyError, NotFoundError, PackageError, StorageError
from tritonpm.core.types import Format
from tritonpm.operations.batch_axes import in_blobs
from tritonpm.operations.render import configs
from tritonpm.package.config import parsed, steps

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def members(context: Context, name: str) -> tuple[str, ...]:
    """The packages that an adopted ensemble joins; none of any other package. Raises NotFoundError, StorageError."""
    package = context.catalogue.get(name).package
    if package.stages[0].format is not Format.OTHER:
        return ()
    texts = configs(package, in_blobs(context))
    return tuple(member for text in texts.values() for member in steps(parsed(text, name)))


def require_no_circle(context: Context, name: str, joined: tuple[str, ...], where: str) -> None:
    """Raise PackageError where an ensemble of this name would join itself, by others too: that ends tritonserver."""
    ways: list[tuple[str, ...]] = [(name, member) for member in joined]
    while ways:
        way = ways.pop()
        if way[-1] in way[:-1]:
            what = f"forms a cycle: {' → '.join(way[way.index(way[-1]) :])}"
            raise PackageError(what, where=where, do="remove the circle")
        with suppress(NotFoundError):
            ways += [(*way, member) for member in members(context, way[-1])]


def require_not_joined(context: Context, name: str) -> None:
    """Raise BusyError where an adopted ensemble joins the package under its name."""
    for entry in context.catalogue.packages():
        with suppress(StorageError):  # one that cannot be read keeps nobody from going
            if entry.name != name and name in members(context, entry.name):
                raise BusyError(f"the ensemble {entry.name} joins {name}", do=f"`tritonpm remove {entry.name}` first")

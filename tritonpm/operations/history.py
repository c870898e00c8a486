"""`tritonpm history`: what was published of a package.

Every revision is immutable; one is current, and those that served stand in the order in which a roll-back goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError
from tritonpm.core.units import moment
from tritonpm.operations.summary import precision
from tritonpm.repository.render import max_batch_size

if TYPE_CHECKING:
    from tritonpm.catalogue import Published, Record
    from tritonpm.operations.context import Context


@dataclass(frozen=True)
class RevisionView:
    """A revision that is kept: what it was made of, and whether it is the current one.

    `served`: how many roll-backs away it is, 0 for what was proved last; None where it never served, or is not gone
    back to. `next`: whether a roll-back without a number goes there.
    `probed`: whether an inference proved it; else it was loaded on somebody's word.
    """

    number: int
    version: str
    mode: str
    device: str
    max_batch_size: int
    precision: str
    published: str
    digest: str
    current: bool
    served: int | None = None
    next: bool = False
    probed: bool = True


def history(context: Context, name: str) -> list[RevisionView]:
    """The revisions that are kept, the newest first. Raises NotFoundError."""
    steps = {number: step for step, number in reversed(list(enumerate(context.catalogue.served(name))))}
    unprobed, way_back = context.catalogue.unprobed(name), context.catalogue.way_back(name)
    views = (_view(kept, steps.get(kept.number)) for kept in context.catalogue.history(name))
    return [replace(view, next=view.number == way_back, probed=view.number not in unprobed) for view in views]


def as_it_was(context: Context, name: str, number: int | None) -> Record:
    """A package as a revision of it was made; None is the current settings. Raises NotFoundError."""
    record = context.catalogue.get(name)
    if number is None:
        return record
    kept = context.catalogue.kept(name, number)
    if kept.source is None:
        raise NotFoundError(f"it is not known what revision {number} of {name} was made of", do="name another")
    return replace(record, package=kept.source.package, settings=kept.source.settings, revision=number)


def _view(kept: Published, served: int | None) -> RevisionView:
    published = moment(kept.published)
    number, digest = kept.number, kept.revision.digest
    if kept.source is None:
        return RevisionView(number, "", "", "", 0, "", published, digest, kept.current, served)
    package, settings = kept.source.package, kept.source.settings
    return RevisionView(
        number, package.version, settings.mode, settings.device, max_batch_size(kept.revision),
        precision(package, settings), published, digest, kept.current, served,
    )  # fmt: skip

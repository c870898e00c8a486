"""The repository that all servers of a context read: the workspace's folder, or the one that it is published to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tritonpm.fleet.journal import MOVING, UNDOING
from tritonpm.operations.context import unheard
from tritonpm.operations.load import Destination, LocalRepository

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.fleet.context import FleetContext
    from tritonpm.operations.context import Context


class SharedRepository:
    """What the servers of a fleet read, as the destination of a package's delivery.

    Only a public model's config, or folder, ever changes; all else is named by its content. Each step may be done
    again, and what is right already is left untouched; `note` hears of its phase before it begins. `before` is what is
    current again where the delivery fails, `configs` are the public model's in a store, by path, as they were.
    """

    def __init__(
        self, context: Context, fleet: FleetContext, name: str, before: Revision | None,
        configs: Mapping[str, str] | None = None, note: Callable[[str], None] = unheard,
    ) -> None:  # fmt: skip
        self.note, self.is_back = note, False
        self.parts: list[Destination] = [LocalRepository(context, before)]  # the workspace's own knows what is current
        if fleet.repository:
            from tritonpm.operations.remote_repository import RemoteRepository, opened

            was = {path: text.encode() for path, text in (configs or {}).items()}
            self.parts.append(RemoteRepository(context, opened(fleet.repository), name, was))

    def rehearse(self, shadow: Revision) -> None:
        """Bring a revision to where the servers read it. Raises StorageError."""
        self.parts[-1].rehearse(shadow)

    def exchange(self, revision: Revision) -> None:
        """Make a revision the one that is loaded under the public name from now on. Raises StorageError."""
        self.note(MOVING)
        for part in self.parts:
            part.exchange(revision)

    def take_back(self) -> None:
        """Make what was current before current again. Raises StorageError."""
        self.note(UNDOING)
        for part in self.parts:
            part.take_back()
        self.is_back = True

    def settle(self, names: tuple[str, ...]) -> None:
        """Take away, of these models, what no current revision has. Raises StorageError."""
        for part in self.parts:
            part.settle(names)


def configs_of(fleet: FleetContext, name: str) -> dict[str, str]:
    """The public model's configs in the store that a fleet reads, by path; none where it reads a folder of ours.

    Raises StorageError, UsageError, RequirementError.
    """
    if not fleet.repository:
        return {}
    from tritonpm.operations.remote_repository import opened
    from tritonpm.repository.sending import switches

    return {
        path: content.decode(errors="replace") for path, content in switches(opened(fleet.repository), name).items()
    }

"""The repository that all servers of a context read: the workspace's folder, or the one that it is published to."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.repository.store import Store

_TICK = 1.1  # seconds; stores date objects to the second, and Triton loads again only what became newer


class Shared:
    """What the servers read. Only a public model's config, or folder, ever changes; all else is named by its content.

    Each step may be done again, and what is right already is left untouched.
    """

    def __init__(self, context: Context, url: str = "") -> None:
        self.context, self.url = context, url

    @cached_property
    def store(self) -> Store | None:
        """The repository elsewhere; None for the workspace's own. Raises UsageError, RequirementError, StorageError."""
        from tritonpm.operations.remote_repository import opened

        return opened(self.url) if self.url else None

    def rehearse(self, shadow: Revision) -> None:
        """Bring a revision there under a name of its own, with its members. Raises StorageError."""
        if self.store is None:
            put(self.context, shadow)
        else:
            self._send(self.store, shadow)

    def exchange(self, name: str, revision: Revision) -> None:
        """Make a revision the one that is loaded under the public name from now on. Raises StorageError."""
        restore(self.context, name, revision)
        if self.store is not None:
            time.sleep(_TICK)
            self._send(self.store, revision)

    def settle(self, shadow: Revision, models: tuple[str, ...]) -> None:
        """Take away a rehearsal, and of `models` what no current revision has. Raises StorageError."""
        settle(self.context, (*models, shadow.name))
        if self.store is not None:
            from tritonpm.operations.remote_repository import prune

            prune(self.store, 0, shadow.name)

    def _send(self, store: Store, revision: Revision) -> None:
        from tritonpm.repository.sending import send

        send(store, revision, self.context.blobs, anew=False)

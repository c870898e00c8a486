"""The repository that all servers of a context read: the workspace's folder, or the one that it is published to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.data import Revision
    from tritonpm.manager import Manager


class Shared:
    """What the servers read. Only a public model's folder ever changes; all else is named by its content."""

    def __init__(self, manager: Manager, url: str = "") -> None:
        self.manager, self.url = manager, url

    def rehearse(self, shadow: Revision) -> None:
        """Bring a revision there under a name of its own, with its members."""
        self.manager.put(shadow)

    def exchange(self, name: str, revision: Revision) -> None:
        """Make a revision the one that is loaded under the public name from now on."""
        self.manager.restore(name, revision)

    def settle(self, models: tuple[str, ...]) -> None:
        """Take away what no current revision has."""
        self.manager.settle(models)

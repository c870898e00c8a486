"""`tritonpm projects`: who says that it uses what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.catalogue.leases import Lease
    from tritonpm.operations.context import Context


def projects(context: Context) -> list[Lease]:
    """Who uses what."""
    return context.catalogue.leases.live()

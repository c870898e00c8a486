"""`tritonpm use`: a project says that it uses a package, and that it does not any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.audit import audited

if TYPE_CHECKING:
    from tritonpm.catalogue.leases import Lease
    from tritonpm.operations.context import Context


def use(context: Context, name: str, project: str, ttl: float, holder: str = "") -> Lease:
    """A project uses a package for `ttl` seconds; said again, it is renewed. Raises NotFoundError, UsageError."""
    context.catalogue.get(name)
    return context.catalogue.leases.take(name, project, ttl, holder)


@audited("release", "project")
def release(context: Context, name: str, project: str, holder: str = "") -> bool:
    """A project does not use a package any more; whether it did."""
    return context.catalogue.leases.release(name, project, holder)

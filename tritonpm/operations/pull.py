"""`tritonpm pull`: a package from a registry, fetched into quarantine, then imported as any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm import registry
from tritonpm.operations.audit import audited
from tritonpm.operations.import_package import import_package
from tritonpm.operations.package_source import fetched
from tritonpm.operations.upgrade import upgrade

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded
    from tritonpm.operations.show import PackageDetails
    from tritonpm.registry.transfer import Bounds


@audited("pull", "digest")
def pull(
    context: Context,
    url: str,
    *,
    digest: str = "",
    name: str | None = None,
    bounds: Bounds | None = None,
    **options: Any,
) -> PackageDetails:
    """Fetch a package and import it, with the `options` of `import_package`.

    Raises RegistryError and what `import_package` raises.
    """
    if name is not None:
        context.catalogue.require_free(name)
    with fetched(context, url, digest, bounds) as file:
        return import_package(context, file, name=name, **options)


def bring_in(context: Context, source: str, **options: Any) -> PackageDetails:
    """Import what lies at a path, or fetch it where the source is an address. Raises what `pull` raises."""
    if registry.is_address(source):
        return pull(context, source, **options)
    return import_package(context, Path(source), **options)


@audited("upgrade", "digest")
def pull_upgrade(context: Context, name: str, url: str, *, digest: str = "", allow_code: bool = False) -> Loaded | None:
    """Fetch a package and put it in the place of one that is there. Raises what `pull` and `upgrade` raise."""
    context.catalogue.get(name)
    with fetched(context, url, digest) as file:
        return upgrade(context, name, file, allow_code=allow_code)

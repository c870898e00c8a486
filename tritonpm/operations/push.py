"""`tritonpm push`: a package written as a .zip, signed where a signer is given, and put into a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm import registry
from tritonpm.core.errors import UsageError
from tritonpm.operations.audit import audited
from tritonpm.operations.export import export
from tritonpm.registry import signing

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.registry import Pushed


@audited("push")
def push(context: Context, name: str, url: str, *, signer: signing.Signer | None = None, force: bool = False) -> Pushed:
    """Put a package, and its signature. Raises RegistryError, UsageError where addresses of that kind are only read.

    An address that ends in a slash is a folder: there the file is called NAME-VERSION.zip.
    """
    package, module = context.catalogue.get(name).package, registry.module(url)
    if not hasattr(module, "push"):
        raise UsageError("is only pulled from", where=registry.shown(url), do="push to oci://, s3:// or a folder")
    with context.workspace.scratch("push") as folder:
        file = export(context, name, folder / f"{name}.zip")
        if signer:
            signing.sign(file, signer)
        target = f"{url}{name}-{package.version}.zip" if url.endswith("/") else url
        with context.progress(f"Putting {file.name}"):
            return module.push(file, target, force=force)

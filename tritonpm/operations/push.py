"""`tritonpm push`: a package written as a .zip, signed where a signer is given, and put into a registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tritonpm import registry
from tritonpm.core.errors import UsageError
from tritonpm.operations.attest import attest
from tritonpm.operations.export import export
from tritonpm.registry import signing

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.registry import Pushed


PACKAGE, MODELPACK = "package", "modelpack"
FORMS = (PACKAGE, MODELPACK)  # in which a package is put into an OCI registry


def push(
    context: Context,
    name: str,
    url: str,
    *,
    signer: signing.Signer | None = None,
    force: bool = False,
    form: str = PACKAGE,
    attested: bool = False,
) -> Pushed:
    """Put a package, its signature, and where that is asked for what proves it.

    Raises RegistryError, UsageError where addresses of that kind are only read; where it is to be attested and nothing
    proves it PackageError, ServerError.

    An address that ends in a slash is a folder: there the file is called NAME-VERSION.zip. Of the forms only
    `package`, its .zip, goes everywhere.
    """
    if attested and signer is None:
        raise UsageError("an attestation is signed", do="give --key")
    package, module = context.catalogue.get(name).package, registry.module(url)
    if not hasattr(module, "push"):
        raise UsageError("is only pulled from", where=registry.shown(url), do="push to oci://, s3:// or a folder")
    put: Callable[..., Pushed] = module.push
    if form == MODELPACK:
        if not hasattr(module, "push_modelpack"):
            raise UsageError("holds no ModelPacks", where=registry.shown(url), do="push it to oci://")
        put = partial(module.push_modelpack, package=package)
    with context.workspace.scratch("push") as folder:
        file = export(context, name, folder / f"{name}.zip", stored=form == MODELPACK)
        if signer:
            signing.sign(file, signer)
        if signer and attested:
            attest(context, name, file, signer)
        target = f"{url}{name}-{package.version}.zip" if url.endswith("/") else url
        with context.progress(f"Putting {file.name}"):
            return put(file, target, force=force)

"""`tritonpm push`: a package written as a .zip, signed where a signer is given, and put into a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tritonpm import registry
from tritonpm.core.errors import UsageError
from tritonpm.operations.attest import attest
from tritonpm.operations.audit import audited
from tritonpm.operations.export import export
from tritonpm.operations.members import members
from tritonpm.operations.render import wanted_revision
from tritonpm.registry import signing

if TYPE_CHECKING:
    from tritonpm.core.types import RenderedModel
    from tritonpm.operations.context import Context
    from tritonpm.registry import Pushed
    from tritonpm.registry.image import ModelFiles


PACKAGE, MODELPACK = "package", "modelpack"  # forms in which a package is put into an OCI registry


@audited("push")
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
        raise UsageError("can only be pulled from", where=registry.shown(url), do="push to oci://, s3:// or a folder")
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
            attest(context, package, file, signer)
        target = f"{url}{name}-{package.version}.zip" if url.endswith("/") else url
        with context.progress(f"Putting {file.name}"):
            return put(file, target, force=force)


@audited("push")
def push_image(context: Context, name: str, url: str, *, force: bool = False) -> Pushed:
    """Put what Triton reads of a package, and of the members that it joins, as an image for KServe.

    Raises RegistryError; UsageError for what is no OCI registry; NotOptimisedError where some of it was not made yet.
    """
    from tritonpm.registry.image import write_layer

    module = registry.module(url)
    if not hasattr(module, "push_image"):
        raise UsageError("holds no images", where=registry.shown(url), do="push it to oci://")
    revisions = [wanted_revision(context, one) for one in dict.fromkeys(_with_members(context, name))]
    models = {model.name: model for revision in revisions for model in revision.models}
    version = context.catalogue.get(name).package.version
    with context.workspace.scratch("push") as folder, context.progress(f"Putting {name}"):
        layers = [
            write_layer(model.name, _files(context, model), folder / f"{number}.tar")
            for number, model in enumerate(models.values())
        ]
        labels = {registry.TITLE: name, registry.VERSION: version}
        pushed: Pushed = module.push_image(layers, url, labels, force=force)
    return pushed


def _files(context: Context, model: RenderedModel) -> ModelFiles:
    """The files of a rendered model: path → (bytes, what opens it)."""
    opened: dict[str, tuple[int, Callable[[], IO[bytes]]]] = {}
    for file in model.files:
        if file.blob is None:
            text = (file.text or "").encode()
            opened[file.path] = len(text), partial(BytesIO, text)
        else:
            path = context.blobs.path(file.blob)
            opened[file.path] = path.stat().st_size, partial(_open, path)
    return opened


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _with_members(context: Context, name: str) -> Iterator[str]:
    """A package and those that it joins, and that these join: members first."""
    for member in members(context, name):
        yield from _with_members(context, member)
    yield name

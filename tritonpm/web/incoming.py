"""What importing a file that came in would bring: looked at, and told before any of it is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tritonpm.catalogue import Catalogue
from tritonpm.core.errors import NameTakenError, UnsafeError
from tritonpm.operations.converted import converted_from
from tritonpm.operations.inspect import Inspection, inspect
from tritonpm.package.code import RUNNING_FORMATS
from tritonpm.package.paths import name_from
from tritonpm.web.held import HeldUpload
from tritonpm.web.language import Language
from tritonpm.web.problems import shown
from tritonpm.web.site import Site


@dataclass(frozen=True)
class IncomingPackage:
    """A file that waits to be imported, and what it holds; `inspection` is null where only importing it tells.

    `converts`: the format that it is converted from on its way in, "" where it is served as it came. `runs_code`: why
    it must be trusted first, "" where nothing of it runs. `existing`: the package that has its name, or where `same`,
    its content; "" where there is none.
    """

    id: str
    filename: str
    bytes: int
    name: str
    inspection: Inspection | None
    converts: str = ""
    runs_code: str = ""
    existing: str = ""
    same: bool = False


def looked_at(site: Site, held: HeldUpload, say: Language, *, allow_code: bool = False) -> IncomingPackage:
    """What a file would bring; `allow_code`: also where it runs code on load. Raises PackageError."""
    path, size = held.path, held.path.stat().st_size
    view = IncomingPackage(held.id, held.filename, size, name_from(path.stem), None)
    if format := converted_from(path):
        running = RUNNING_FORMATS.get(format, "")
        view = replace(view, converts=format.value, runs_code="" if allow_code else say.told(running))
    else:
        try:
            view = replace(view, inspection=_inspected(held, allow_code=allow_code))
        except UnsafeError as error:
            if allow_code:
                raise
            trusted = _inspected(held, allow_code=True)  # what this raises is no question of trust
            view = replace(view, inspection=trusted, runs_code=say.told(shown(error.what, site.root)))
    if view.inspection:
        view = replace(view, name=view.inspection.name)
    with site.open() as context:
        return _beside(context.catalogue, view)


def _inspected(held: HeldUpload, *, allow_code: bool) -> Inspection:
    """What a file holds, looked at once. Raises PackageError."""
    if allow_code not in held.looks:
        held.looks[allow_code] = inspect(held.path, allow_code=allow_code)
    return held.looks[allow_code]


def _beside(catalogue: Catalogue, view: IncomingPackage) -> IncomingPackage:
    """With the package that is in its way."""
    digest = view.inspection.digest if view.inspection else ""
    if same := catalogue.of_content(digest) if digest else ():
        return replace(view, existing=same[0], same=True)
    try:
        catalogue.require_free(view.name)
    except NameTakenError as error:
        return replace(view, existing=error.existing)
    return view

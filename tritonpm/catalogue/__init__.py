"""What we know and promised: SQLite, blobs, lock, journal. Knows no Triton."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpm.catalogue.blobs import Blobs
    from tritonpm.catalogue.catalogue import Catalogue, Record
    from tritonpm.catalogue.listing import Entry, Listing, Summary
    from tritonpm.catalogue.locking import is_held, lock
    from tritonpm.catalogue.rebuilding import Rebuilt, rebuild
    from tritonpm.catalogue.revisions import Published
    from tritonpm.catalogue.served import Proved, Source
    from tritonpm.catalogue.workspace import Workspace, create, find

__all__ = [
    "Blobs",
    "Catalogue",
    "Entry",
    "Listing",
    "Proved",
    "Published",
    "Rebuilt",
    "Record",
    "Source",
    "Summary",
    "Workspace",
    "create",
    "find",
    "is_held",
    "lock",
    "rebuild",
]

_MODULES = {
    "blobs": ("Blobs",),
    "catalogue": ("Catalogue", "Record"),
    "listing": ("Entry", "Listing", "Summary"),
    "locking": ("is_held", "lock"),
    "rebuilding": ("Rebuilt", "rebuild"),
    "revisions": ("Published",),
    "served": ("Proved", "Source"),
    "workspace": ("Workspace", "create", "find"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a module when something of it is asked for: `tritonpm list` needs two of them."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

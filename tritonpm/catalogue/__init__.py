"""What we know and promised: SQLite, blobs, lock, journal. Knows no Triton."""

from tritonpm.catalogue.blobs import Blobs
from tritonpm.catalogue.catalogue import Catalogue, Entry, Published, Record, Source, rebuild
from tritonpm.catalogue.lock import lock
from tritonpm.catalogue.records import Summary
from tritonpm.catalogue.workspace import Workspace, create, find

__all__ = [
    "Blobs",
    "Catalogue",
    "Entry",
    "Published",
    "Record",
    "Source",
    "Summary",
    "Workspace",
    "create",
    "find",
    "lock",
    "rebuild",
]

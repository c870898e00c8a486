"""Which revision a server answers for: its configuration carries the revision's name as a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.types import REVISION

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.triton.client import Client


def serves(client: Client, revision: Revision) -> bool:
    """Whether the server answers for this very revision."""
    config = next(file.text or "" for file in revision.models[-1].files if file.path == "config.pbtxt")
    name = client.config(revision.name).get("parameters", {}).get(REVISION, {}).get("string_value", "")
    return bool(name) and name in config

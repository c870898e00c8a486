"""Which revision a server really answers for: a 200 to a load is no proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.core.types import Revision
from tritonpm.repository.config import REVISION

if TYPE_CHECKING:
    from tritonpm.triton.client import Client


def serves(client: Client, revision: Revision) -> bool:
    """Whether the server answers for this very revision."""
    wanted = next(file.text or "" for file in revision.models[-1].files if file.path == "config.pbtxt")
    answered = client.config(revision.name).get("parameters", {}).get(REVISION, {}).get("string_value", "")
    return bool(answered) and answered in wanted

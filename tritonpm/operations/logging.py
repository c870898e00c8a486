"""`tritonpm logging`: what the server writes into its log."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tritonpm.operations.audit import acting
from tritonpm.operations.server import connect

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def logging(context: Context, changes: Mapping[str, str], *, protocol: str = "http") -> dict[str, Any]:
    """What the server writes into its log, after `changes`. Raises ServerError."""
    booleans = {"true": True, "false": False}
    settings = {k: booleans.get(v.lower(), int(v) if v.isdecimal() else v) for k, v in changes.items()}
    recorded = acting(context, "logging", detail=", ".join(changes)) if changes else nullcontext()
    with recorded, connect(context, protocol) as client:
        return client.log_settings(settings)

"""`tritonpm tracing`: how requests are traced."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from tritonpm.operations.audit import acting
from tritonpm.operations.server import connect

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def tracing(context: Context, name: str, changes: Mapping[str, str], *, protocol: str = "http") -> dict[str, Any]:
    """How requests are traced, of one model or of all, after `changes`. Raises ServerError."""
    settings = {key: value.split(",") if key == "trace_level" else value for key, value in changes.items()}
    recorded = acting(context, "tracing", name, ", ".join(changes)) if changes else nullcontext()
    with recorded, connect(context, protocol) as client:
        return client.trace_settings(name, settings)

"""What a killed change left on the server: rehearsals, which nobody asks for and which hold memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.catalogue import is_held
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.local_repository import changing
from tritonpm.operations.server import connect
from tritonpm.triton.ensembles import NEXT, inner, unneeded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client


def unload_rehearsals(context: Context) -> Iterator[str]:
    """Unload them; their names. Who rehearses holds the workspace's lock: while it is held nothing is done."""
    with suppress(TritonpmError), connect(context) as client:
        if not _rehearsals(context, client) or is_held(context.workspace):
            return
        with changing(context, "supervise"):
            for name in unneeded(client, _rehearsals(context, client)):
                client.unload_and_wait(name)
                yield name


def _rehearsals(context: Context, client: Client) -> list[str]:
    """Of this workspace's packages; a fleet's have another name, and another workspace to look after them."""
    if not any(name.endswith(NEXT) for name in client.serving()):
        return []
    ours = {entry.name + NEXT for entry in context.catalogue.packages()}
    return [name for name in inner(client) if name in ours]

"""`tritonpm logs`: what the workspace's own server has written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError
from tritonpm.operations.server import own_server
from tritonpm.triton import embedded

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_LOOK_EVERY = 0.2  # seconds


def started_again(context: Context) -> str:
    """How often the server that ended was started again, when last, and why; "" for never."""
    again = embedded.restarts(context.workspace.server)
    return again.words if again else ""


def logs(context: Context, lines: int, *, follow: bool) -> Iterator[str]:
    """The last lines of the server's log, and with `follow` what comes after them. Raises NotFoundError."""
    server = own_server(context)
    log = Path(server.log) if server else context.workspace.server / "triton.log"
    if not log.is_file():
        raise NotFoundError("there is no log yet", where=str(log), do="start a server with `tritonpm serve`")
    with log.open(encoding="utf-8", errors="replace") as stream:
        yield from (line.rstrip("\n") for line in stream.readlines()[-lines:])
        while follow:
            if line := stream.readline():
                yield line.rstrip("\n")
            else:
                time.sleep(_LOOK_EVERY)

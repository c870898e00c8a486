"""Whether a server that was told to end has let go of all its models, by what it says in its log.

After a load that failed while an earlier content of the model served, Triton 2.51 counts one more model than there is,
and waits at its end for that one, with nothing in flight, until its exit timeout is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonpm.triton.log import size, tail
from tritonpm.triton.plain_http import ask
from tritonpm.triton.server import Server

_PATIENCE = 2.0  # seconds for an answer of a server that is to end
_UNLOADED = re.compile(r"successfully unloaded '([^\n]*)' version (\d+)")


@dataclass(frozen=True)
class Leaving:
    """The models, with their versions, that a server has to unload before it ends; None where it does not say."""

    models: frozenset[tuple[str, str]] | None
    log: Path
    offset: int  # of the log, when they were asked for

    @classmethod
    def of(cls, server: Server) -> Leaving:
        """Asked of the server itself."""
        log = Path(server.log)
        offset = size(log)
        try:
            return cls(frozenset(_models(server.http)), log, offset)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # silent, restricted, or not Triton's answer
            return cls(None, log, offset)

    def done(self) -> bool:
        """Whether the log says of each that it was unloaded, which it is when the last request to it was answered."""
        if self.models is None or size(self.log) <= self.offset:
            return False
        written = tail(self.log, size(self.log) - self.offset).decode(errors="replace")
        return self.models <= set(_UNLOADED.findall(written))


def _models(http: str) -> Iterator[tuple[str, str]]:
    """Those that can be asked, even if their folder is gone, and those that are on their way."""
    for model in _asked(http, "GET", "/v2/models/stats")["model_stats"]:
        yield model["name"], model["version"]
    for model in _asked(http, "POST", "/v2/repository/index"):
        if model.get("state", "UNAVAILABLE") != "UNAVAILABLE":
            yield model["name"], model["version"]


def _asked(address: str, method: str, path: str) -> Any:
    host, _, port = address.rpartition(":")
    return json.loads(ask(method, host, int(port), path, timeout=_PATIENCE)[1])

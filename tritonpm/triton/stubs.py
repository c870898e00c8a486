"""Whether the processes that answer for a Python-based model are there: Triton calls it READY without them, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import NotFoundError, ServerError
from tritonpm.triton.processes import stubs

if TYPE_CHECKING:
    from tritonpm.triton.client import Client
    from tritonpm.triton.server import Server

_RUNTIMES = ("model.py", "libtriton_python.so")  # of models that are served by stubs
_PYTHON = "python"  # the backend whose models may name no runtime: where configs are not completed


def bereft(server: Server, client: Client) -> set[str]:
    """The models that are READY, and have fewer stubs that can answer than instances. Raises ServerError."""
    answering, ready = Counter(stubs(server).values()), Counter(s.name for s in client.index() if s.state == "READY")
    lacking = set()
    for name, versions in ready.items():
        with suppress(ServerError, NotFoundError):  # it is being unloaded
            config = client.config(name)
            if _by_stubs(config) and answering[name] < versions * (instances(config) or 0):
                lacking.add(name)
    return lacking


def abandoned(server: Server, model: str, config: Mapping[str, Any]) -> bool:
    """Whether no process is left to answer what a model of this configuration was asked: Triton waits for ever."""
    return server.alive and _by_stubs(config) and model not in stubs(server).values()


def _by_stubs(config: Mapping[str, Any]) -> bool:
    return config.get("runtime") in _RUNTIMES or config.get("backend") == _PYTHON


def instances(config: Mapping[str, Any]) -> int | None:
    """How many copies of a model run, on all devices; None for an ensemble, which has none."""
    groups = config.get("instance_group", ())
    return sum(int(group.get("count", 1)) * max(1, len(group.get("gpus", ()))) for group in groups) or None

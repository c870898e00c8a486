"""Models of a server that somebody else runs, which are not packages here: managed where they are, without their files.

They are asked, measured, loaded and unloaded as far as the server lets that be done; whatever makes a model anew, or
brings one back, needs the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import BusyError, NotFoundError, ServerError
from tritonpm.operations.sample_inputs import made_up
from tritonpm.operations.server import connect, require_live
from tritonpm.perf.inputs import batching, inputs
from tritonpm.triton.answers import steps
from tritonpm.triton.client import Client
from tritonpm.triton.connection import Connection
from tritonpm.triton.ensembles import joined_by

if TYPE_CHECKING:
    from tritonpm.core.tensors import Array
    from tritonpm.operations.context import Context
    from tritonpm.perf.inputs import Inputs

_NOBODY = "tritonpm.nobody"  # a model that no server has
_DO = "name inputs of its own: `tritonpm infer NAME --input FILE`"


@dataclass(frozen=True)
class ModelInPlace:
    """A model as a server tells of it: READY or not, its platform or backend, the members of an ensemble."""

    name: str
    versions: tuple[str, ...]
    state: str
    kind: str = ""  # "" where it is not loaded: then the server does not tell
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerModels:
    """All of them, and whether the server lets models be loaded and unloaded; the reason where it does not."""

    server: str
    version: str
    models: tuple[ModelInPlace, ...]
    refused: str = ""


def is_in_place(context: Context, name: str) -> bool:
    """Whether a model is one of the server that was named, and no package here."""
    if context.server is None:
        return False
    try:
        context.catalogue.require(name)
    except NotFoundError:
        return True
    return False


def is_server(place: str) -> bool:
    """Whether an address is a server's, and not one of a folder or a store."""
    return place.partition("://")[0] in ("http", "https", "grpc", "grpcs")


def models_of(server: Connection) -> ServerModels:
    """What a server has. Raises ServerError, UsageError."""
    with Client.of(server) as client:
        require_live(client)
        return ServerModels(client.where, client.server_version(), tuple(_models(client)), _refused(client))


def _models(client: Client) -> Iterator[ModelInPlace]:
    index = client.index()
    for name in dict.fromkeys(state.name for state in index):
        states = [state for state in index if state.name == name]
        ready = [state for state in states if state.state == "READY"]
        config: Mapping[str, Any] = client.config(name, ready[-1].version) if ready else {}
        yield ModelInPlace(
            name, tuple(state.version for state in states if state.version),
            "READY" if ready else states[-1].state or "NOT LOADED",
            str(config.get("platform") or config.get("backend") or ""),
            tuple(dict.fromkeys(steps(config))),
        )  # fmt: skip


def _refused(client: Client) -> str:
    """Why models are not loaded and unloaded there; "" where they are. To unload what there is not does nothing."""
    try:
        client.unload(_NOBODY)
    except NotFoundError:
        return ""
    except ServerError as error:
        return error.what
    return ""


def load_in_place(context: Context, name: str, *, probe: bool, timeout: float) -> str:
    """Load, or reload what changed; what was proved, in a few words. Raises ServerError, InferenceError."""
    with connect(context, load_timeout=timeout) as client, context.progress(f"Loading {name}"):
        _require_known(client, name)
        client.load_and_wait(name, timeout=timeout)
        if not probe:
            return "not probed"
        asked(client, name)
        return "answered a made-up input; nothing here knows what it shall answer"


def unload_in_place(context: Context, name: str, *, dependents: bool, timeout: float) -> None:
    """Unload, with the ensembles that it is a part of where `dependents`. Raises ServerError, BusyError."""
    with connect(context, load_timeout=timeout) as client, context.progress(f"Unloading {name}"):
        _require_known(client, name)
        above = joined_by(client, name)
        if above and not dependents:
            what = f"{name} is a part of {', '.join(above)}, which the server has loaded"
            raise BusyError(what, do="unload that first, or use --dependents")
        for model in (*above, name):
            client.unload_and_wait(model, timeout=timeout)


def _require_known(client: Client, name: str) -> None:
    if name not in {state.name for state in client.index()}:
        do = "`tritonpm status` tells what it has, `tritonpm list` the packages of this workspace"
        raise NotFoundError(f"neither the server nor this workspace has {name!r}", where=client.where, do=do)


def require_ready(client: Client, name: str) -> None:
    """Raise NotFoundError where the server does not have the model, or not loaded: then it says nothing of it."""
    _require_known(client, name)
    if not client.ready(name):
        raise NotFoundError(f"{name} is not loaded", where=client.where, do="load it first: `tritonpm load`")


def asked(client: Client, name: str) -> dict[str, Array]:
    """An input that the model takes, made up. Raises InferenceError, NotFoundError."""
    rows = 1 if client.config(name).get("max_batch_size") else None
    return made_up(client, name, client.metadata(name), rows, {}, do=_DO)[0]


def inputs_of(client: Client, name: str) -> Inputs:
    """What it is measured with. Raises InferenceError."""
    signature = client.metadata(name)
    who = batching(client.config(name), signature, axis=False)
    return inputs([asked(client, name)], signature, who, source="a made-up input, since its package is not here")

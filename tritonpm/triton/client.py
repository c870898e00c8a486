"""One client for a Triton server: the same behaviour over HTTP and gRPC, by tritonclient.

A 200 from `load` is no proof (docs/components.md), so `load_and_wait` reads back what the server then says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tritonpm.core.errors import InferenceError, NotFoundError, ServerError, UnreachableError, UsageError
from tritonpm.core.tensors import Array, numpy_dtype
from tritonpm.core.types import Signature, Tensor
from tritonpm.triton.answers import sound
from tritonpm.triton.connection import TIMEOUT, Connection, Tls, address, grpc_client, http_client
from tritonpm.triton.failures import plainly, strange
from tritonpm.triton.inference import Asking, InferenceRequest, first, streamed
from tritonpm.triton.statistics import Statistics, statistics_of

_ORPHANED = 3.0  # seconds after which a model that is being unloaded, and that nobody answers for, is called unloaded
Abandoned = Callable[[str, Mapping[str, Any]], bool]  # of a model and its configuration: nobody answers for it any more
_TRIES, _PAUSE = 4, 0.1  # of what only reads, where the connection fails; seconds before the second, then doubled


@dataclass(frozen=True)
class ModelState:
    """A line of the repository index: `state` is READY, UNAVAILABLE, LOADING, UNLOADING or "" (never loaded)."""

    name: str
    version: str
    state: str
    reason: str


class Client:
    """A connection to one server. `timeout` (seconds) holds for every call but load and unload."""

    def __init__(
        self,
        url: str,
        *,
        protocol: str | None = None,
        timeout: float = TIMEOUT,
        load_timeout: float = 600.0,
        headers: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        grpc: str = "",
    ) -> None:
        self.protocol, self.where, secure = address(url, protocol)
        self.timeout, self.load_timeout, self.headers = timeout, load_timeout, dict(headers or {})
        self.abandoned: Abandoned | None = None  # set where the server's processes can be seen
        self._asking: dict[tuple[str, str], Asking] = {}
        self._streams: Client | None = None  # opened where HTTP is not enough
        self._over_grpc = Connection(grpc, dict(self.headers), tls, timeout) if grpc else None
        if self.protocol == "grpc":  # there --grpc-restricted-protocol looks for its header under this prefix
            self.headers.update({f"triton-grpc-protocol-{name}": value for name, value in self.headers.items()})
        tls = tls or (Tls() if secure else None)
        # tritonclient's HTTP has one time limit for a connection, its gRPC one for each call.
        self._client = (
            grpc_client(self.where, tls) if self.protocol == "grpc" else http_client(self.where, timeout, tls)
        )
        self._loader = self._client if self.protocol == "grpc" else http_client(self.where, load_timeout, tls)

    @classmethod
    def of(cls, connection: Connection, *, protocol: str | None = None, load_timeout: float = 600.0) -> Client:
        """A client of that server, with what it wants to see."""
        return cls(
            connection.url,
            protocol=protocol,
            timeout=connection.timeout,
            load_timeout=load_timeout,
            headers=connection.headers,
            tls=connection.tls,
            grpc=connection.grpc,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        self._loader.close()
        if self._streams:
            self._streams.close()

    @property
    def raw(self) -> Any:
        """tritonclient's own, for what this one does not wrap."""
        return self._client

    def live(self) -> bool:
        """Whether the server answers at all."""
        try:
            return bool(self._call("is_server_live", tries=1))
        except ServerError:
            return False

    def ready(self, name: str, version: str = "") -> bool:
        """Whether the model can be asked."""
        return bool(self._call("is_model_ready", name, version))

    def load(self, name: str) -> None:
        """Ask for a load, or a reload of what changed. Raises ServerError with Triton's reason."""
        self._changed(name, "load_model")

    def unload(self, name: str, *, dependents: bool = False) -> None:
        """Ask for an unload; `dependents` are an ensemble's members."""
        self._changed(name, "unload_model", unload_dependents=dependents)

    def index(self) -> list[ModelState]:
        """Every model and version that the server's repository has or had."""
        models = self._told("get_model_repository_index").get("models", [])
        keys = ("name", "version", "state", "reason")
        return [ModelState(*(str(model.get(key, "")) for key in keys)) for model in models]

    def serving(self) -> set[str]:
        """The models that can be asked: all of them, where the index leaves out those whose folder is gone."""
        return {model.name for model in self.statistics()}

    def config(self, name: str, version: str = "") -> dict[str, Any]:
        """The model's configuration as the server completed it."""
        answer = self._told("get_model_config", name, version)
        return answer.get("config", answer)  # type: ignore[no-any-return]

    def metadata(self, name: str, version: str = "") -> Signature:
        """The model's tensors as clients see them, batch axis included."""
        answer = self._told("get_model_metadata", name, version)
        inputs, outputs = (tuple(_tensor(t) for t in answer.get(key, ())) for key in ("inputs", "outputs"))
        return Signature(inputs, outputs)

    def server_version(self) -> str:
        """The server's version."""
        return str(self._told("get_server_metadata").get("version", ""))

    def statistics(self, name: str = "") -> list[Statistics]:
        """What every loaded version of the model, or of all models, has done so far."""
        answer = self._told("get_inference_statistics", name)
        return statistics_of(answer)

    def trace_settings(self, name: str = "", changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """How requests are traced, of one model or of all; after `changes`. Raises ServerError, UsageError."""
        named: dict[str, Any] = {"model_name": name or None}
        known = self._settings("get_trace_settings", **named)
        if not changes:
            return known
        _require_known(changes, known, "--trace-config")
        self._call("update_trace_settings", settings=dict(changes), tries=1, **named)
        return self._settings("get_trace_settings", **named)

    def log_settings(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the server writes into its log; after `changes`, where there are any. Raises ServerError, UsageError."""
        known = self._settings("get_log_settings")
        if not changes:
            return known
        _require_known(changes, known, "--log-…")
        self._call("update_log_settings", dict(changes), tries=1)
        return self._settings("get_log_settings")

    def _settings(self, method: str, **options: Any) -> dict[str, Any]:
        answer = self._told(method, **options)
        return {key: _plain(value) for key, value in answer.get("settings", answer).items()}

    def asking(self, name: str, version: str = "") -> Asking:
        """How the model wants to be asked; its configuration is looked at once."""
        if (name, version) not in self._asking:
            self._asking[name, version] = Asking.of(self.config(name, version), self.config)
        return self._asking[name, version]

    def infer(
        self, name: str, inputs: Mapping[str, Array], *, outputs: Sequence[str] | None = None, version: str = ""
    ) -> dict[str, Array]:
        """One inference: the outputs asked for, or all of them; of a decoupled model the first response.

        Raises InferenceError with Triton's reason, or where the model sends no response.
        """
        return first(name, self.responses(name, inputs, outputs=outputs, version=version))

    def responses(
        self, name: str, inputs: Mapping[str, Array], *, outputs: Sequence[str] | None = None, version: str = ""
    ) -> list[dict[str, Array]]:
        """Every response to one request: one, or of a decoupled model as many as it sends. Raises InferenceError.

        A sequence-batching model gets a sequence of this one request.
        """
        known = self._asking.get((name, version))
        try:
            return self._responses(name, inputs, outputs, version)
        except InferenceError:
            self._asking.pop((name, version), None)
            if known is None or self.asking(name, version) == known:
                raise
        return self._responses(name, inputs, outputs, version)  # another configuration was loaded since

    def _responses(
        self, name: str, inputs: Mapping[str, Array], outputs: Sequence[str] | None, version: str
    ) -> list[dict[str, Array]]:
        if self.protocol == "http" and self.asking(name, version).decoupled:
            return self._streaming(name)._responses(name, inputs, outputs, version)
        import tritonclient.grpc as grpc
        import tritonclient.http as http

        module = http if self.protocol == "http" else grpc
        signature = self.metadata(name, version)
        dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
        sent = []
        for tensor, array in inputs.items():
            if tensor not in dtypes:
                raise InferenceError(
                    f"there is no input {tensor!r}", where=name, do=f"its inputs are {', '.join(dtypes)}"
                )
            sent.append(module.InferInput(tensor, list(array.shape), dtypes[tensor]))
            sent[-1].set_data_from_numpy(array.astype(numpy_dtype(dtypes[tensor]), copy=False))
        wanted = [module.InferRequestedOutput(o) for o in outputs or [tensor.name for tensor in signature.outputs]]
        return self.ask(name, sent, wanted, version)

    def ask(self, name: str, sent: Sequence[Any], wanted: Sequence[Any], version: str = "") -> list[dict[str, Array]]:
        """`responses`, to tritonclient's own inputs and outputs, of this client's protocol."""
        asking = self.asking(name, version)
        request = InferenceRequest(name, version, sent, wanted, asking.options())
        with plainly(self.where, name, InferenceError):
            if asking.decoupled:
                return streamed(self._client, request, self.headers, self.timeout)
            limit = {"client_timeout": self.timeout} if self.protocol == "grpc" else {}
            options = {"headers": self.headers, **request.options, **limit}
            return [request.answer(self._client.infer(name, sent, version, wanted, **options))]

    def _streaming(self, name: str) -> Client:
        """The same server over gRPC, where HTTP is not enough. Raises InferenceError where nobody said its address."""
        if self._over_grpc is None:
            what = "it is decoupled: its responses come as a stream, which Triton sends over gRPC only"
            raise InferenceError(what, where=name, do="name the server's gRPC address, such as grpc://HOST:8001")
        if self._streams is None:
            self._streams = Client.of(self._over_grpc, protocol="grpc")
        return self._streams

    def load_and_wait(self, name: str, *, timeout: float = 300.0) -> ModelState:
        """Load, then read back: the model is ready, and nothing in the index says otherwise. Raises ServerError."""
        self.load(name)
        deadline = time.monotonic() + timeout
        while True:
            states = [state for state in self.index() if state.name == name]
            ready = [state for state in states if state.state == "READY"]
            if ready and self.ready(name, ready[-1].version):
                return ready[-1]
            if not any(state.state in ("LOADING", "UNLOADING") for state in states) or time.monotonic() > deadline:
                reason = (
                    "; ".join(state.reason for state in states if state.reason) or "it is not in the server's index"
                )
                raise ServerError(f"{name} is not ready: {reason}", where=self.where, do="see `tritonpm logs`")
            time.sleep(0.05)

    def unload_and_wait(self, name: str, *, dependents: bool = False, timeout: float = 60.0) -> None:
        """Unload, then wait until no version is left, or nobody who could finish what it was asked.

        Raises ServerError at the deadline.
        """
        config: dict[str, Any] = {}
        with suppress(ServerError, NotFoundError):  # it serves no more
            config = self.config(name) if self.abandoned else {}
        self.unload(name, dependents=dependents)
        began = time.monotonic()
        while states := {s.state for s in self.index() if s.name == name} & {"READY", "UNLOADING"}:
            waited = time.monotonic() - began
            if states == {"UNLOADING"} and waited > _ORPHANED and self.abandoned and self.abandoned(name, config):
                return
            if waited > timeout:
                raise ServerError(
                    f"{name} was not unloaded within {timeout:g} s", where=self.where, do="see `tritonpm status`"
                )
            time.sleep(0.05)

    def _changed(self, name: str, method: str, **options: Any) -> None:
        """Load or unload. Where the reply is lost, what is still going on is waited for, then it is asked for again:

        Triton does nothing where it was done.
        """
        try:
            self._call(method, name, loading=True, tries=1, **options)
        except UnreachableError:
            deadline = time.monotonic() + self.load_timeout
            while any(s.name == name and s.state in ("LOADING", "UNLOADING") for s in self.index()):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            self._call(method, name, loading=True, tries=1, **options)

    def _told(self, method: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """What a server tells of itself, of Triton's own shape. Raises ServerError."""
        answer = self._call(method, *arguments, as_json=True, **options)
        try:
            return sound(method, answer)
        except (ValueError, RecursionError):
            raise strange(self.where) from None

    def _call(self, method: str, *arguments: Any, tries: int = _TRIES, **options: Any) -> Any:
        """One call of tritonclient's; where the connection fails, again: so `tries` is 1 for what changes anything."""
        for attempt in range(tries - 1):
            with suppress(UnreachableError):
                return self._called(method, *arguments, **options)
            time.sleep(_PAUSE * 2**attempt)
        return self._called(method, *arguments, **options)

    def _called(
        self, method: str, *arguments: Any, as_json: bool = False, loading: bool = False, **options: Any
    ) -> Any:
        if self.protocol == "grpc":
            if as_json:
                options["as_json"] = True
            options["client_timeout"] = self.load_timeout if loading else self.timeout
        with plainly(self.where, str(arguments[0]) if arguments else "", ServerError):
            return getattr(self._loader if loading else self._client, method)(
                *arguments, headers=self.headers, **options
            )


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    shape = tuple(int(d) if int(d) >= 0 else "?" for d in entry.get("shape", ()))
    return Tensor(str(entry["name"]), str(entry["datatype"]), shape)


def _require_known(changes: Mapping[str, Any], known: Mapping[str, Any], like: str) -> None:
    """Triton takes names that it does not know, and does nothing."""
    if unknown := sorted(changes.keys() - known.keys()):
        what = f"the server has no setting {unknown[0]!r} (see tritonserver's {like})"
        raise UsageError(what, do=f"use one of {', '.join(sorted(known))}")


def _plain(value: Any) -> Any:
    """A setting as HTTP says it: gRPC wraps each in a message, and numbers in text."""
    if isinstance(value, Mapping):
        value = value.get("value", next((value[key] for key in value if key.endswith("_param")), ""))
    return value[0] if isinstance(value, list) and len(value) == 1 else value

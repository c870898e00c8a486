"""One client for a Triton server: the same behaviour over HTTP and gRPC, by tritonclient.

A 200 from `load` is no proof (docs/components.md), so `load_and_wait` reads back what the server then says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonpm.core.errors import InferenceError, NotFoundError, ServerError, UnreachableError, UsageError
from tritonpm.core.tensors import Array, numpy_dtype
from tritonpm.core.types import Signature, Tensor

PROTOCOLS = ("http", "grpc")
TIMEOUT = 30.0  # seconds for every call but load and unload
_TRIES, _PAUSE = 4, 0.1  # of what only reads, where the connection fails; seconds before the second, then doubled
_SCHEMES = {"http": ("http", False), "https": ("http", True), "grpc": ("grpc", False), "grpcs": ("grpc", True)}


@dataclass(frozen=True)
class ModelState:
    """A line of the repository index: `state` is READY, UNAVAILABLE, LOADING, UNLOADING or "" (never loaded)."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True)
class Statistics:
    """What a version of a model has done so far."""

    name: str
    version: str
    inferences: int
    executions: int
    successes: int
    failures: int
    last_inference_ms: int  # Unix time in milliseconds, 0 for never
    batches: Mapping[int, int] = field(default_factory=dict)  # batch size → how often it was executed
    queue_us: float | None = None  # a request's average wait; None where there was none


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; `verify` False accepts any certificate (HTTP only)."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True


@dataclass(frozen=True)
class Connection:
    """A server that somebody else runs: where, and what it wants to see. `timeout` is of a call, in seconds."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    timeout: float = TIMEOUT

    @classmethod
    def to(cls, server: Connection | str | None) -> Connection | None:
        """A URL alone is a connection, too."""
        return cls(server) if isinstance(server, str) else server


def headers_of(pairs: Iterable[str]) -> dict[str, str]:
    """Headers from NAME=VALUE. Raises UsageError."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError("a header is given as NAME=VALUE", where="--server-header")
        found[name.lower()] = value  # gRPC takes no capitals
    return found


def bearer(file: Path) -> dict[str, str]:
    """The header that carries the token in a file. Raises NotFoundError."""
    try:
        return {"authorization": f"Bearer {file.read_text(encoding='utf-8').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"cannot be read ({error})", where="--server-token-file", do="check the path") from None


def address(url: str, protocol: str | None = None) -> tuple[str, str, bool]:
    """(protocol, host:port, TLS) of `host:port`, `http://…`, `https://…`, `grpc://…` or `grpcs://…`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return protocol or "http", url.rstrip("/"), False
    if scheme not in _SCHEMES:
        raise ServerError(f"{scheme}:// is no protocol of Triton", where=url, do="use http, https, grpc or grpcs")
    known, secure = _SCHEMES[scheme]
    return known, rest.rstrip("/"), secure


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
    ) -> None:
        self.protocol, self.where, secure = address(url, protocol)
        self.timeout, self.load_timeout, self.headers = timeout, load_timeout, dict(headers or {})
        if self.protocol == "grpc":  # there --grpc-restricted-protocol looks for its header under this prefix
            self.headers.update({f"triton-grpc-protocol-{name}": value for name, value in self.headers.items()})
        tls = tls or (Tls() if secure else None)
        # tritonclient's HTTP has one time limit for a connection, its gRPC one for each call.
        self._client = _grpc(self.where, tls) if self.protocol == "grpc" else _http(self.where, timeout, tls)
        self._loader = self._client if self.protocol == "grpc" else _http(self.where, load_timeout, tls)

    @classmethod
    def of(cls, connection: Connection, *, protocol: str | None = None, load_timeout: float = 600.0) -> Client:
        """A client of that server, with what it wants to see."""
        options = {"headers": connection.headers, "tls": connection.tls, "timeout": connection.timeout}
        return cls(connection.url, protocol=protocol, load_timeout=load_timeout, **options)  # type: ignore[arg-type]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        self._loader.close()

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
        answer = self._call("get_model_repository_index", as_json=True)
        models = answer.get("models", []) if isinstance(answer, dict) else answer
        keys = ("name", "version", "state", "reason")
        return [ModelState(*(str(model.get(key, "")) for key in keys)) for model in models]

    def serving(self) -> set[str]:
        """The models that can be asked: all of them, where the index leaves out those whose folder is gone."""
        return {each.name for each in self.statistics()}

    def config(self, name: str, version: str = "") -> dict[str, Any]:
        """The model's configuration as the server completed it."""
        answer: dict[str, Any] = self._call("get_model_config", name, version, as_json=True)
        return answer.get("config", answer)  # type: ignore[no-any-return]

    def metadata(self, name: str, version: str = "") -> Signature:
        """The model's tensors as clients see them, batch axis included."""
        answer = self._call("get_model_metadata", name, version, as_json=True)
        inputs, outputs = (tuple(_tensor(t) for t in answer.get(key, ())) for key in ("inputs", "outputs"))
        return Signature(inputs, outputs)

    def server_version(self) -> str:
        """The server's version."""
        return str(self._call("get_server_metadata", as_json=True).get("version", ""))

    def statistics(self, name: str = "") -> list[Statistics]:
        """What every loaded version of the model, or of all models, has done so far."""
        answer = self._call("get_inference_statistics", name, as_json=True)
        return [_statistics(entry) for entry in answer.get("model_stats", ())]

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
        answer = self._call(method, as_json=True, **options)
        return {key: _plain(value) for key, value in answer.get("settings", answer).items()}

    def infer(
        self, name: str, inputs: Mapping[str, Array], *, outputs: Sequence[str] | None = None, version: str = ""
    ) -> dict[str, Array]:
        """One inference: the outputs asked for, or all of them. Raises InferenceError with Triton's reason."""
        import tritonclient.grpc as grpc
        import tritonclient.http as http

        module = http if self.protocol == "http" else grpc
        signature = self.metadata(name, version)
        dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
        sent = []
        for tensor, array in inputs.items():
            if tensor not in dtypes:
                known = ", ".join(dtypes)
                raise InferenceError(f"there is no input {tensor!r}", where=name, do=f"name one of {known}")
            sent.append(module.InferInput(tensor, list(array.shape), dtypes[tensor]))
            sent[-1].set_data_from_numpy(array.astype(numpy_dtype(dtypes[tensor]), copy=False))
        wanted = [module.InferRequestedOutput(o) for o in outputs or [tensor.name for tensor in signature.outputs]]
        with plainly(self.where, name, InferenceError):
            limit = {"client_timeout": self.timeout} if self.protocol == "grpc" else {}
            answer = self._client.infer(name, sent, version, wanted, headers=self.headers, **limit)
        return {output.name(): answer.as_numpy(output.name()) for output in wanted}

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
        """Unload, then wait until no version is left. Raises ServerError at the deadline."""
        self.unload(name, dependents=dependents)
        deadline = time.monotonic() + timeout
        while any(state.name == name and state.state in ("READY", "UNLOADING") for state in self.index()):
            if time.monotonic() > deadline:
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


def _http(where: str, timeout: float, tls: Tls | None) -> Any:
    import tritonclient.http as http

    options: dict[str, Any] = {}
    if tls:
        options = {"ssl": True, "insecure": not tls.verify}
        names = {"ca_certs": tls.ca, "certfile": tls.certificate, "keyfile": tls.key}
        options["ssl_options"] = {name: value for name, value in names.items() if value}
    limits = {"connection_timeout": min(timeout, 10.0), "network_timeout": timeout}
    return http.InferenceServerClient(where, **limits, **options)


def _grpc(where: str, tls: Tls | None) -> Any:
    import tritonclient.grpc as grpc

    if tls is None:
        return grpc.InferenceServerClient(where)
    return grpc.InferenceServerClient(
        where, ssl=True, root_certificates=tls.ca, private_key=tls.key, certificate_chain=tls.certificate
    )


@contextmanager
def plainly(where: str, model: str, kind: type[ServerError]) -> Iterator[None]:
    """Turn what tritonclient and its transports raise into one sentence."""
    from http.client import HTTPException

    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        # A Python-based backend's reason ends before the places in its source.
        message = " ".join(re.sub(r"\n\nAt:\n(?:  \S.*\n?)*", " ", str(error.message())).split())
        status = str(error.status() or "")
        if "UNAVAILABLE" in status and "onnect" in message:
            raise UnreachableError(
                f"no Triton answers ({message})", where=where, do="start one, or check the URL"
            ) from None
        if "unknown model" in message:
            raise NotFoundError(message, where=where, do="load it first with `tritonpm load`") from None
        raise kind(message.rstrip("."), where=f"{where}, model {model}" if model else where) from None
    except TimeoutError as error:
        raise ServerError(f"Triton did not answer in time ({error})", where=where, do="see its log") from None
    except (OSError, HTTPException) as error:  # of sockets, and of a server that went away in the middle
        raise UnreachableError(f"no Triton answers ({error})", where=where, do="start one, or check the URL") from None


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    shape = tuple(int(d) if int(d) >= 0 else "?" for d in entry.get("shape", ()))
    return Tensor(str(entry["name"]), str(entry["datatype"]), shape)


def _statistics(entry: Mapping[str, Any]) -> Statistics:
    figures = entry.get("inference_stats", {})
    succeeded, failed = (int(figures.get(key, {}).get("count", 0)) for key in ("success", "fail"))
    return Statistics(
        str(entry["name"]),
        str(entry.get("version", "")),
        int(entry.get("inference_count", 0)),
        int(entry.get("execution_count", 0)),
        succeeded,
        failed,
        int(entry.get("last_inference", 0)),
        {
            int(batch["batch_size"]): int(batch.get("compute_infer", {}).get("count", 0))
            for batch in entry.get("batch_stats", ())
        },
        _average_us(figures.get("queue", {})),
    )


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


def _average_us(figure: Mapping[str, Any]) -> float | None:
    count = int(figure.get("count", 0))
    return int(figure.get("ns", 0)) / count / 1000 if count else None

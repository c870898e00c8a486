"""Where a Triton server is and what it wants to see: addresses, headers, TLS; and tritonclient's client of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tritonpm.core.errors import NotFoundError, ServerError, UsageError

TIMEOUT = 30.0  # seconds for every call but load and unload
_SCHEMES = {"http": ("http", False), "https": ("http", True), "grpc": ("grpc", False), "grpcs": ("grpc", True)}
# RFC 9110; of values what both HTTP and gRPC carry.
_HEADER_NAME, _HEADER_VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"), re.compile(r"[ -~]*")


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; `verify` False accepts any certificate (HTTP only)."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True


@dataclass(frozen=True)
class Connection:
    """A server: where, and what it wants to see. `timeout` is of a call, in seconds.

    `grpc` is the same server's gRPC address, where `url` is another and that is known.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None
    timeout: float = TIMEOUT
    grpc: str = ""

    @classmethod
    def to(cls, server: Connection | str | None) -> Connection | None:
        """A URL alone is a connection, too."""
        return cls(server) if isinstance(server, str) else server


def headers_of(pairs: Iterable[str]) -> dict[str, str]:
    """Headers from NAME=VALUE. Raises UsageError."""
    sent = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _HEADER_NAME.fullmatch(name):
            raise UsageError("a header is given as NAME=VALUE", where="--server-header")
        if not _HEADER_VALUE.fullmatch(value):
            raise UsageError(f"the header {name} has characters that no header may have", where="--server-header")
        sent[name.lower()] = value  # gRPC takes no capitals
    return sent


def bearer(file: Path) -> dict[str, str]:
    """The header that carries the token in a file. Raises NotFoundError, UsageError."""
    where = "--server-token-file"
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"cannot be read ({error})", where=where, do="check the path") from None
    if not _HEADER_VALUE.fullmatch(token):
        raise UsageError("holds more than a token", where=where, do="put the token alone into the file")
    return {"authorization": f"Bearer {token}"}


def address(url: str, protocol: str | None = None) -> tuple[str, str, bool]:
    """(protocol, host:port, TLS) of `host:port`, `http://…`, `https://…`, `grpc://…` or `grpcs://…`.

    Raises ServerError.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in _SCHEMES:
        raise ServerError(f"{scheme}:// is not a protocol of Triton", where=url, do="use http, https, grpc or grpcs")
    known, secure = _SCHEMES[scheme] if separator else (protocol or "http", False)
    return known, _place((rest if separator else url).rstrip("/"), url), secure


def _place(place: str, url: str) -> str:
    """`place` where it is one. Raises ServerError: clients fail in ways of their own where it is none."""
    try:
        parts = urlsplit(f"//{place}")
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not parts.username
    except ValueError:  # a bracket that is not closed, a port that is no number
        sound = False
    if not sound or not place.isprintable() or " " in place:
        raise ServerError("is not an address of a server", where=url, do="give HOST:PORT, http://… or grpc://…")
    return place


def http_client(where: str, timeout: float, tls: Tls | None) -> Any:
    """tritonclient's, whose one time limit holds for every call of a connection."""
    import tritonclient.http as http

    options: dict[str, Any] = {}
    if tls:
        options = {"ssl": True, "insecure": not tls.verify}
        names = {"ca_certs": tls.ca, "certfile": tls.certificate, "keyfile": tls.key}
        options["ssl_options"] = {name: value for name, value in names.items() if value}
    limits = {"connection_timeout": min(timeout, 10.0), "network_timeout": timeout}
    return http.InferenceServerClient(where, **limits, **options)


def grpc_client(where: str, tls: Tls | None) -> Any:
    """tritonclient's, which takes a time limit with each call."""
    import tritonclient.grpc as grpc

    if tls is None:
        return grpc.InferenceServerClient(where)
    return grpc.InferenceServerClient(
        where, ssl=True, root_certificates=tls.ca, private_key=tls.key, certificate_chain=tls.certificate
    )

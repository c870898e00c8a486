"""Triton's metrics endpoint: where it is, and what it answers."""

from __future__ import annotations

from tritonpm.core.errors import ServerError, UsageError
from tritonpm.triton.plain_http import ask
from tritonpm.triton.statistics import ServerCounters, by_metrics


def scrape(address: str, *, timeout: float = 2.0) -> ServerCounters:
    """What the metrics endpoint at host:port says of every model. Raises ServerError."""
    return by_metrics(_fetch(address, timeout), where=address)


def endpoint(address: str) -> tuple[str, int]:
    """The host and port of HOST:PORT or http://HOST:PORT/metrics. Raises UsageError."""
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{address!r} is not a metrics endpoint", do="name it as HOST:PORT; Triton's own port is 8002")
    return host.strip("[]"), int(port)


def _fetch(address: str, timeout: float) -> str:
    try:
        status, body = ask("GET", *endpoint(address), "/metrics", timeout=timeout)
    except OSError as error:
        raise ServerError(f"no metrics were returned ({error})", where=address) from None
    if status != 200:
        raise ServerError(f"no metrics were returned (HTTP {status})", where=address)
    return body.decode(errors="replace")

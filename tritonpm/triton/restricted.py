"""A server that changes what it serves only for who knows its key.

Else whoever reaches its port does: a program of another user, or a page in a browser on the same machine, to which
loopback is open. With a load request come files if it wants, code among them, and that code runs. Inference, metadata,
statistics and shared memory stay open to all. Source: Triton's "Limit Endpoint Access" (inference_protocols.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

_APIS = "model-repository,trace,logging"
_HTTP, _GRPC = "--http-restricted-api=", "--grpc-restricted-protocol="
_BITS = 256


def restricting() -> tuple[str, ...]:
    """The server's arguments, with a key of its own in them."""
    key = f"{_APIS}:authorization=Bearer {secrets.token_urlsafe(_BITS // 8)}"
    return (_HTTP + key, _GRPC + key)


def headers(arguments: Iterable[str]) -> dict[str, str]:
    """What a server that was started with these arguments wants to see; none where it takes all from anybody."""
    for argument in arguments:
        if argument.startswith(_HTTP):
            name, _, value = argument.partition(":")[2].partition("=")
            return {name: value}
    return {}

"""One request over HTTP to a server, without tritonclient, which takes longer to import than the server to answer."""

from __future__ import annotations

from tritonpm.core.units import MIB

_MOST = 32 * MIB  # bytes of an answer that are read


def ask(method: str, host: str, port: int, path: str, *, timeout: float) -> tuple[int, bytes]:
    """The status and the body, as far as it is read. Raises OSError where none comes within `timeout` seconds."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=timeout)  # noqa: S104
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST)
    except HTTPException as error:
        raise OSError(str(error) or type(error).__name__) from None
    finally:
        connection.close()

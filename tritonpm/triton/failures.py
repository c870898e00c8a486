"""What tritonclient and its transports raise, as one sentence of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tritonpm.core.errors import NotFoundError, ServerError, UnreachableError


@contextmanager
def plainly(where: str, model: str, kind: type[ServerError]) -> Iterator[None]:
    """Turn what tritonclient and its transports raise into one sentence."""
    from http.client import HTTPException

    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        # A Python-based backend's reason ends before the places in its source; nobody gave the request an id.
        message = re.sub(r"\n\nAt:\n(?:  \S.*\n?)*|\[request id: <id_unknown>\]", " ", str(error.message()))
        message = " ".join(message.split())
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
    except (ValueError, RecursionError):  # of who reads what was to be JSON
        raise strange(where) from None


def strange(where: str) -> ServerError:
    """Of an address at which something answers that is no Triton."""
    return ServerError("what answers there is not Triton", where=where, do="check the URL")

"""The HTTP session that https and OCI share: encrypted, with time limits, and not led astray by redirects."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import NotFoundError, RegistryError
from tritonpm.core.units import KIB, MIB, human
from tritonpm.registry import shown
from tritonpm.registry.transfer import CHUNK, Cut, Part

_CONNECT = 10.0  # seconds until a connection must stand
_REDIRECTS = 5
_MOST, _PIECE = 4 * MIB, 64 * KIB  # bytes of a manifest, a token, a refusal
_CHECK = "check the address"
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class Session(requests.Session):
    """Each request has a time limit; what is not encrypted is refused, but for this machine itself.

    `here`: whether this machine may be asked without encryption, which nobody elsewhere is to make us do.
    """

    def __init__(self, silence: float, *, here: bool = True) -> None:
        super().__init__()
        self.silence, self.here, self.max_redirects = silence, here, _REDIRECTS
        self.headers["Accept-Encoding"] = "identity"  # a Range of what is compressed on the way means nothing

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As requests does it, with no more than `_MOST` of an answer that is not streamed. Raises RegistryError."""
        require_encrypted(str(request.url), here=self.here)
        streamed = kwargs.get("stream", False)
        answer = super().send(request, **{**kwargs, "timeout": (_CONNECT, self.silence), "stream": True})
        return answer if streamed else _read(answer)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads to. Raises RegistryError where that is no encrypted place."""
        target: str | None = super().get_redirect_target(resp)
        if target:
            resp.close()  # before requests reads it to its end, however long that is
            there = urljoin(str(resp.url), target)
            require_encrypted(there, f"{shown(str(resp.url))} leads to ")
            if urlsplit(there).scheme == "http" and urlsplit(there).netloc != urlsplit(str(resp.url)).netloc:
                raise RegistryError(
                    f"leads to {shown(there)}", where=shown(str(resp.url)), do="have it lead to https://"
                )
        return target


def _read(answer: requests.Response) -> requests.Response:
    with answer:
        content = b"".join(itertools.islice(answer.iter_content(_PIECE), _MOST // _PIECE + 1))
    if len(content) > _MOST:
        raise RegistryError(f"answers with more than {human(_MOST)}", where=shown(str(answer.url)), do=_CHECK)
    answer._content = content
    return answer


def require_encrypted(url: str, before: str = "", *, here: bool = True) -> None:
    """Raise RegistryError for an address that is neither https nor, where that may be, on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (here and parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise RegistryError(f"{before}{shown(url)} is not encrypted", do="use https://")


@contextmanager
def speaking(where: str) -> Iterator[None]:
    """Turn what requests raises into Cut or RegistryError; its own words may hold credentials, so they go unsaid."""
    try:
        yield
    except requests.exceptions.SSLError:
        do = "REQUESTS_CA_BUNDLE names the file of who signed it, where that is not one of the usual ones"
        raise RegistryError("its certificate is not trusted", where=where, do=do) from None
    except requests.exceptions.TooManyRedirects:
        raise RegistryError(f"redirects more than {_REDIRECTS} times", where=where, do=_CHECK) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
        raise RegistryError("is not an address", where=where, do="check it") from None
    except requests.exceptions.ConnectTimeout:
        raise Cut("no connection in time") from None
    except requests.exceptions.Timeout:
        raise Cut("no answer in time") from None
    except (requests.exceptions.RequestException, HTTPError):
        raise Cut("the connection was refused or broke") from None


def require_good(answer: requests.Response, where: str, login: str) -> None:
    """Raise for what is no success: Cut for what may pass, NotFoundError, RegistryError."""
    code = answer.status_code
    if code in _BUSY:
        raise Cut(f"HTTP {code}")
    if code in (401, 403):
        raise RegistryError(f"refuses these credentials, or requires some (HTTP {code})", where=where, do=login)
    if code in (404, 410):
        raise NotFoundError("there is no such package", where=where, do=_CHECK)
    if not answer.ok:
        raise RegistryError(f"refuses (HTTP {code})", where=where, do=_CHECK)


def part_of(answer: requests.Response, asked: int, where: str, login: str) -> Part:
    """What an answer to a request for `bytes=asked-` holds. Raises Cut, NotFoundError, RegistryError."""
    if answer.status_code == 416:  # nothing is behind what is there already; its digest says whether it is right
        return Part(asked, None, iter(()))
    require_good(answer, where, login)
    start = _start(answer) if answer.status_code == 206 else 0
    if start > asked:
        raise RegistryError("answers with another range than was requested", where=where, do="check the server")
    length = answer.headers.get("Content-Length", "")
    return Part(start, start + int(length) if length.isdecimal() else None, _chunks(answer, where))


def _start(answer: requests.Response) -> int:
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else 0


def _chunks(answer: requests.Response, where: str) -> Iterator[bytes]:
    with speaking(where):
        while chunk := answer.raw.read1(CHUNK, decode_content=False):  # what is there: a break loses nothing of it
            yield chunk

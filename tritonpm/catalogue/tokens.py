"""The tokens that open the page and its REST API: a file of names, roles and digests, from which no token is got back.

A token is 256 random bits, so one SHA-256 of it is enough: nobody finds it by trying, as they would a password.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from tritonpm.core.errors import NotFoundError, StorageError, UsageError
from tritonpm.core.files import DIGEST, digest_of_bytes, read_state, replacing
from tritonpm.core.roles import Role

PREFIX = "tpm_"  # by which scanners of repositories and logs know one
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_FOR_OTHERS = 0o022
_LAST = 253402214400.0  # the last day that a calendar tells, in the year 9999
_Time = Annotated[float, msgspec.Meta(ge=0, le=_LAST)]


@dataclass(frozen=True)
class AccessToken:
    """What is known of a token; `created` and `expires` are Unix times, 0: it does not expire."""

    name: Annotated[str, msgspec.Meta(pattern=rf"^{NAME.pattern}\Z")]
    role: Role
    digest: Annotated[str, msgspec.Meta(pattern=rf"^{DIGEST.pattern}\Z")]
    created: _Time
    expires: _Time = 0.0


@dataclass(frozen=True)
class TokenFile:
    """What the file holds."""

    tokens: tuple[AccessToken, ...]
    schema: int = 1


def read_tokens(file: Path) -> tuple[AccessToken, ...]:
    """The tokens of a file, none where there is no file. Raises StorageError for one that cannot be trusted or read."""
    try:
        if file.stat().st_mode & _FOR_OTHERS:
            do = f"`chmod 600 {file}`, and see `tritonpm token list`"
            raise StorageError("can be written by others, who could let themselves in", where=str(file), do=do)
        return msgspec.json.decode(read_state(file), type=TokenFile).tokens
    except FileNotFoundError:
        if file.is_symlink():
            raise StorageError("is a link to what is not there", where=str(file), do="mend or remove it") from None
        return ()
    except OSError as error:
        what, do = f"cannot be read ({error.strerror})", "check its permissions"
        raise StorageError(what, where=str(file), do=do) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        do = "remove it and make new tokens with `tritonpm token add`"
        raise StorageError(f"is not a file of tokens ({error})", where=str(file), do=do) from None


def add_token(file: Path, name: str, role: Role, expires: float = 0.0) -> str:
    """Make a token and keep its digest; the token, which nobody can ask for again. Raises UsageError, StorageError."""
    if not NAME.fullmatch(name):
        do = "use up to 64 letters, digits and . _ @ -"
        raise UsageError(f"{name[:64]!r} is not a name for a token", do=do)
    if expires > _LAST:
        raise UsageError("it would last beyond the calendar", do="leave out --days for a token that does not expire")
    tokens = read_tokens(file)
    if any(token.name == name for token in tokens):
        raise UsageError(f"there is a token {name!r} already", do=f"`tritonpm token remove {name}` first")
    made = PREFIX + secrets.token_urlsafe(32)
    _write(file, (*tokens, AccessToken(name, role, _digest(made), time.time(), expires)))
    return made


def remove_token(file: Path, name: str) -> bool:
    """Forget a token: what it opened it opens no more; whether another is left. Raises NotFoundError, StorageError."""
    tokens = read_tokens(file)
    left = tuple(token for token in tokens if token.name != name)
    if len(left) == len(tokens):
        raise NotFoundError(f"there is no token {name!r}", where=str(file), do="`tritonpm token list` lists them")
    _write(file, left)
    return bool(left)


def holder(tokens: Iterable[AccessToken], given: str) -> AccessToken | None:
    """Whose token was given; each is compared, and each in the same time. None: nobody's, or it has expired."""
    digest, found = _digest(given), None
    for token in tokens:
        if hmac.compare_digest(digest, token.digest) and not 0 < token.expires < time.time():
            found = token
    return found


def _digest(token: str) -> str:
    return digest_of_bytes(token.encode(errors="surrogatepass"))


def _write(file: Path, tokens: tuple[AccessToken, ...]) -> None:
    with replacing(file) as aside:
        aside.chmod(0o600)
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(TokenFile(tokens)), indent=2))

"""`tritonpm token`: who may do what on the page and by its REST API."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import lock
from tritonpm.catalogue.audit import TOKEN_ADDED
from tritonpm.catalogue.tokens import AccessToken, add_token, read_tokens, remove_token
from tritonpm.core.errors import StorageError
from tritonpm.core.units import moment
from tritonpm.operations.audit import audited

if TYPE_CHECKING:
    from tritonpm.core.roles import Role
    from tritonpm.operations.context import Context

_DAY = 24 * 3600.0


@dataclass(frozen=True)
class TokenView:
    """A token, but for what opens; `expires` is "" for one that does not."""

    name: str
    role: Role
    created: str
    expires: str
    expired: bool


@audited(TOKEN_ADDED, "name", "role", "file", package="")
def add(context: Context, name: str, role: Role, *, days: float | None = None, file: Path | None = None) -> str:
    """Make a token, for `days` where they are said; the token, told this once. Raises UsageError, StorageError."""
    expires = time.time() + days * _DAY if days is not None else 0.0
    with lock(context.workspace, "token add", waiting=context.warn):
        return add_token(file or context.workspace.tokens, name, role, expires)


@audited("token remove", "name", "file", package="")
def remove(context: Context, name: str, *, file: Path | None = None) -> bool:
    """Forget a token, which opens nothing from now on; whether another is left. Raises NotFoundError, StorageError."""
    with lock(context.workspace, "token remove", waiting=context.warn):
        return remove_token(file or context.workspace.tokens, name)


def token_file(context: Context) -> Path:
    """The workspace's file of tokens, which need not be there where nobody ever made one.

    Raises StorageError where it was lost: without it the page on loopback would be open to anybody on this machine.
    """
    file = context.workspace.tokens
    if not os.path.lexists(file) and context.catalogue.audit.tokens_were_made():
        do = "put it back, or make new ones with `tritonpm token add`"
        raise StorageError("is lost, and with it who may open the page", where=str(file), do=do)
    return file


def tokens(context: Context, *, file: Path | None = None) -> list[TokenView]:
    """The tokens there are, by name. Raises StorageError."""
    known = read_tokens(file or context.workspace.tokens)
    return sorted(map(_view, known), key=lambda view: view.name)


def _view(token: AccessToken) -> TokenView:
    expires = moment(token.expires) if token.expires else ""
    return TokenView(token.name, token.role, moment(token.created), expires, 0 < token.expires < time.time())

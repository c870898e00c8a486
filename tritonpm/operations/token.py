"""`tritonpm token`: who may do what on the page and by its REST API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import lock
from tritonpm.catalogue.tokens import AccessToken, add_token, read_tokens, remove_token
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


@audited("token add", "name", "role", package="")
def add(context: Context, name: str, role: Role, *, days: float | None = None, file: Path | None = None) -> str:
    """Make a token, for `days` where they are said; the token, told this once. Raises UsageError, StorageError."""
    expires = time.time() + days * _DAY if days is not None else 0.0
    with lock(context.workspace, "token add", waiting=context.warn):
        return add_token(file or context.workspace.tokens, name, role, expires)


@audited("token remove", "name", package="")
def remove(context: Context, name: str, *, file: Path | None = None) -> bool:
    """Forget a token, which opens nothing from now on; whether another is left. Raises NotFoundError, StorageError."""
    with lock(context.workspace, "token remove", waiting=context.warn):
        return remove_token(file or context.workspace.tokens, name)


def tokens(context: Context, *, file: Path | None = None) -> list[TokenView]:
    """The tokens there are, by name. Raises StorageError."""
    known = read_tokens(file or context.workspace.tokens)
    return sorted(map(_view, known), key=lambda view: view.name)


def _view(token: AccessToken) -> TokenView:
    expires = moment(token.expires) if token.expires else ""
    return TokenView(token.name, token.role, moment(token.created), expires, 0 < token.expires < time.time())

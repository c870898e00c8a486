"""The page and what it is opened with, shared by `ui` and `serve --ui`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.cli.app import App
from tritonpm.core.units import GIB

if TYPE_CHECKING:
    from tritonpm.web.running import Page


PORT = 8080
MAX_UPLOAD = 16  # GiB
TOKEN = "TRITONPM_UI_TOKEN"  # noqa: S105 the variable's name


def made(
    app: App, host: str, port: int, token: str, hosts: tuple[str, ...] = (), max_upload: int = MAX_UPLOAD,
    certificate: Path | None = None, key: Path | None = None, metrics: str | None = None, tokens: Path | None = None,
    oidc: Path | None = None,
) -> Page:  # fmt: skip
    """The page, bound and not yet answering; `tokens` is the file of those with roles, None the workspace's; `oidc` the
    file that says how people sign in.

    Raises RequirementError where its libraries are not installed.
    """
    from tritonpm.core.extras import needed
    from tritonpm.operations.token import token_file

    with needed("the page", "web"):
        from tritonpm.web.oidc_settings import read_oidc
        from tritonpm.web.running import Page
        from tritonpm.web.security import access
    with app.open() as context:
        file = tokens or token_file(context)
    allowed = access(
        host, token=token, hosts=hosts, upload=max_upload * GIB, tokens=file, named=tokens is not None,
        oidc=read_oidc(oidc) if oidc else None, tls=certificate is not None,
    )  # fmt: skip
    return Page(app.workspace, app.connection(), host, port, allowed, certificate, key, metrics)


def read_token(file: Path | None) -> str:
    """The token of a file, or of the environment; "" where there is none. Raises NotFoundError."""
    import os

    from tritonpm.core.errors import NotFoundError

    if file is None:
        return os.environ.get(TOKEN, "")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(f"cannot be read ({error.strerror})", where=str(file), do="check --token-file") from None

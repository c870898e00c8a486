"""`tritonpm ui`: the page."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app
from tritonpm.cli.output import echo
from tritonpm.cli.page import MAX_UPLOAD, PORT, TOKEN, made, read_token


@command(
    "ui",
    examples="""
    tritonpm ui
    tritonpm ui --port 9000
    TRITONPM_UI_TOKEN=$(openssl rand -hex 16) tritonpm ui --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    """,
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to bind to; anything but loopback requires a token.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="The port; 0 picks a free one."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help=f"A file with a token that may do everything [default: {TOKEN}].",
)
@click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file of the tokens that `tritonpm token` makes [default: the workspace's].",
)
@click.option(
    "--oidc",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file that says how people sign in with an OpenID provider.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name under which the page is reached (repeatable).",
)
@click.option(
    "--max-upload",
    type=click.IntRange(1),
    default=MAX_UPLOAD,
    show_default=True,
    metavar="GIB",
    help="The largest package that may be uploaded.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="A PEM file with a certificate, for https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="A PEM file with the certificate's key.")
@click.option("--metrics", metavar="HOST:PORT", help="The metrics endpoint of the server given with --server.")
@on_a_server
@pass_app
def ui_command(
    app: App, /, host: str, port: int, token_file: Path | None, tokens: Path | None, oidc: Path | None,
    hosts: tuple[str, ...], max_upload: int, tls_cert: Path | None, tls_key: Path | None, metrics: str | None,
) -> None:  # fmt: skip
    """Serve the page and its REST API, until Ctrl-C."""
    page = made(app, host, port, read_token(token_file), hosts, max_upload, tls_cert, tls_key, metrics, tokens, oidc)
    echo(f"The page is at {page.url}")
    app.advise("Ctrl-C ends it.")
    page.run()

"""`tritonpm serve`: starts this workspace's Triton."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.amounts import WAIT
from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import on_ports
from tritonpm.cli.output import echo
from tritonpm.cli.page import made, read_token

if TYPE_CHECKING:
    from tritonpm.operations.serve import ServerAddresses
    from tritonpm.web.running import Page


@command(
    "serve",
    examples="""
    tritonpm serve --detach
    tritonpm serve --http-port 8000 --grpc-port 8001
    tritonpm serve --detach --restricted
    tritonpm serve --detach --repository s3://bucket/models
    """,
)
@click.option("--detach", is_flag=True, help="Return once it is ready; `tritonpm stop` stops it.")
@click.option("--tritonserver", type=click.Path(path_type=Path), help="The server's binary [TRITONPM_TRITONSERVER].")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind to.")
@on_ports
@click.option("--timeout", type=WAIT, default=60.0, show_default=True, help="Seconds to wait until it is live.")
@click.option(
    "--repository",
    metavar="URL",
    help="Also serve this repository, as a server of a fleet does: a folder, s3://, gs://, as://.",
)
@click.option(
    "--restricted",
    is_flag=True,
    help="Let only this workspace load, unload and trace; inference stays open.",
)
@click.option("--ui", is_flag=True, help="Also serve the page, on loopback (`tritonpm ui` has more options).")
@click.option(
    "--ui-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 picks a free one."
)
@reading
@pass_app
def serve_command(
    app: App, /, detach: bool, tritonserver: Path | None, repository: str | None, restricted: bool, ui: bool,
    ui_port: int, **address: Any,
) -> None:  # fmt: skip
    """Start this workspace's Triton, and load what was loaded before."""
    from tritonpm.operations.serve import load_all_proved, serve
    from tritonpm.operations.server import supervise_detached
    from tritonpm.operations.supervise import stay
    from tritonpm.triton.restricted import restricting

    page = _page(app, detach, ui_port) if ui else None
    with app.open() as context:
        arguments = (*_reading_too(repository), *(restricting() if restricted else ()))
        view = serve(context, tritonserver, detach=detach, arguments=arguments, **address)
        if detach:  # first of all: who reads what is printed may end us, as `| head -1` does
            supervise_detached(context)
        app.emit("Server", view, lambda: _describe_server(app, view, detach))
        for name, reason in load_all_proved(context):
            app.advise(f"{name} could not be loaded: {reason}" if reason else f"Loaded {name}.")
        if page:
            with page.running():
                app.advise(f"The page is at {page.url}")
                stay(context, app.advise)
        elif not detach:
            stay(context, app.advise)
    if not detach:
        app.advise("Stopped.")


def _reading_too(repository: str | None) -> tuple[str, ...]:
    """The server's arguments for a second repository. Raises UsageError."""
    from tritonpm.repository.location import located

    if repository is None:
        return ()
    url = located(repository).url
    if " " in url:
        raise click.UsageError("Triton's Python backend cannot read from a path with a blank")
    return (f"--model-repository={url}",)


def _page(app: App, detach: bool, port: int) -> Page:
    """The page beside a server, its address taken before Triton is started."""
    if detach:
        raise click.UsageError("--ui stays with its server: leave --detach out, or run `tritonpm ui`")
    return made(app, "127.0.0.1", port, read_token(None))


def _describe_server(app: App, view: ServerAddresses, detach: bool) -> None:
    from tritonpm.cli.output import facts

    echo(f"Triton {view.version} is live (pid {view.pid}).")
    facts((("http", view.http), ("grpc", view.grpc), ("metrics", view.metrics), ("log", view.log)))
    app.advise("`tritonpm stop` ends it." if detach else "Ctrl-C ends it.")

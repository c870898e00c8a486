"""Commands on a running Triton."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, on_a_context, on_a_server, pass_app, reading
from tritonpm.cli.stores import REPOSITORY

if TYPE_CHECKING:
    from tritonpm.operations.views import ModelView
    from tritonpm.web.running import Page

NAME = click.argument("name", metavar="NAME")
LOAD_TIMEOUT = click.option(
    "--timeout", type=float, default=300.0, show_default=True, help="Seconds until it must be ready."
)
PROTOCOL = click.option("--protocol", type=click.Choice(["http", "grpc"]), default="http", show_default=True)


@command(
    "serve",
    examples="""
    tritonpm serve --detach
    tritonpm serve --http-port 8000 --grpc-port 8001
    tritonpm serve --detach --repository s3://bucket/models
    """,
)
@click.option("--detach", is_flag=True, help="Return when it is ready; `tritonpm stop` ends it.")
@click.option("--tritonserver", type=click.Path(path_type=Path), help="The server's binary [TRITONPM_TRITONSERVER].")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to bind to.")
@click.option("--http-port", type=int, help="[default: 8000, or a free one]")
@click.option("--grpc-port", type=int, help="[default: 8001, or a free one]")
@click.option("--metrics-port", type=int, help="[default: 8002, or a free one]")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait until it is live.")
@click.option(
    "--repository", metavar="URL", help="Read this one, too: a server of a fleet; a folder, s3://, gs://, as://."
)
@click.option("--ui", is_flag=True, help="With the page, on loopback (`tritonpm ui` has more options).")
@click.option("--ui-port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 is a free one.")
@reading
@pass_app
def serve_command(
    app: App, /, detach: bool, tritonserver: Path | None, repository: str | None, ui: bool, ui_port: int, **address: Any
) -> None:
    """Start this workspace's Triton, and load what was loaded before."""
    page = _page(app, detach, ui_port) if ui else None
    serving = app.serving()
    reads = _reading_too(repository)
    view = serving.serve(tritonserver, detach=detach, arguments=reads, **address)
    app.emit("Server", view, lambda: _describe_server(app, view, detach))
    for name, reason in serving.load_wanted():
        app.advise(f"{name} could not be loaded: {reason}" if reason else f"Loaded {name}.")
    if detach:
        serving.supervised()
    elif page:
        with page.running():
            app.advise(f"The page is at {page.url}")
            serving.wait(app.advise)
    else:
        serving.wait(app.advise)


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
    from tritonpm.cli.ui import made, read_token

    if detach:
        raise click.UsageError("--ui stays with its server: leave --detach out, or run `tritonpm ui`")
    return made(app, "127.0.0.1", port, read_token(None))


def _describe_server(app: App, view: object, detach: bool) -> None:
    from tritonpm.cli.output import facts
    from tritonpm.operations.views import ServerView

    if isinstance(view, ServerView):
        click.echo(f"Triton {view.version} is live (pid {view.pid}).")
        facts((("http", view.http), ("grpc", view.grpc), ("metrics", view.metrics), ("log", view.log)))
    app.advise("`tritonpm stop` ends it." if detach else "Ctrl-C ends it.")


@command("stop", examples="tritonpm stop")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds for requests in flight.")
@pass_app
def stop_command(app: App, timeout: float) -> None:
    """Stop this workspace's Triton; requests in flight are finished first."""
    app.say("Stopped." if app.serving().stop(timeout) else "No server was running.")


@command(
    "load",
    examples="""
    tritonpm load bolts
    tritonpm load bolts --server 127.0.0.1:8000
    tritonpm load bolts --server triton:8000 --repository s3://bucket/models
    """,
)
@NAME
@click.option("--no-probe", is_flag=True, help="Do not run an inference before calling it loaded.")
@LOAD_TIMEOUT
@click.option("--wait", type=float, default=0.0, help="Seconds that a server may take to come up [default: none].")
@REPOSITORY
@on_a_server
@reading
@pass_app
def load_command(app: App, name: str, no_probe: bool, timeout: float, wait: float, repository: str | None) -> None:
    """Publish a package and load it; a probe inference proves that it answers.

    With --repository it is published there, for a server that reads it from there.
    """
    if repository:
        from tritonpm.operations import remote_repository as stores

        view = stores.load(app.serving(), name, stores.opened(repository), probe=not no_probe, timeout=timeout)
    else:
        view = app.serving().load(name, probe=not no_probe, timeout=timeout, wait=wait)
    app.emit("LoadResult", view, lambda: click.echo(f"Loaded {name}, revision {view.revision}: {view.probe}."))


@command("reload", examples="tritonpm reload bolts")
@NAME
@LOAD_TIMEOUT
@on_a_server
@reading
@pass_app
def reload_command(app: App, name: str, timeout: float) -> None:
    """Write a loaded package's files anew and load them beside what serves, which no request notices."""
    view = app.serving().reload(name, timeout=timeout)
    app.emit("LoadResult", view, lambda: click.echo(f"Reloaded {name}, revision {view.revision}: {view.probe}."))


@command("unload", examples="tritonpm unload bolts\ntritonpm unload bolts --force")
@NAME
@click.option("--force", is_flag=True, help="Also while it is in use.")
@click.option("--dependents", is_flag=True, help="Ensembles of others that it is a part of, too.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds until it must be gone.")
@on_a_server
@pass_app
def unload_command(app: App, name: str, force: bool, dependents: bool, timeout: float) -> None:
    """Unload a package from the server; it stays in the workspace. Refused while it is in use."""
    app.serving().unload(name, force=force, dependents=dependents, timeout=timeout)
    app.say(f"Unloaded {name}.")


@command("status", examples="tritonpm status\ntritonpm status -o json")
@on_a_server
@reading
@pass_app
def status_command(app: App) -> None:
    """Show the server and what it has loaded, beside what the workspace says."""
    from tritonpm.cli.output import facts, table

    view = app.serving().status()

    def text() -> None:
        facts((("server", view.server), ("state", view.state), ("version", view.version)))
        if view.models:
            click.echo()
            columns = ("MODEL", "VERSION", "STATE", "PACKAGE", "STATUS", "INSTANCES", "INFERENCES", "FAILED",
                       "QUEUE µs", "LAST", "REASON")  # fmt: skip
            table(columns, (_row(model) for model in view.models))

    app.emit("Status", view, text)
    for sentence in view.drift:
        app.advise(f"Drift: {sentence}; `tritonpm sync` mends it.")
    for sentence in view.advice:
        app.advise(f"Advice: {sentence}.")


def _row(model: ModelView) -> tuple[object, ...]:
    queue = "" if model.queue_us is None else f"{model.queue_us:.0f}"
    last = model.last_inference[:19].replace("T", " ")
    return (
        model.name, model.version, model.state, model.package, model.status, model.instances or "", model.inferences,
        model.failures, queue, last, model.reason,
    )  # fmt: skip


@command("sync", examples="tritonpm sync\ntritonpm sync --context prod")
@on_a_server
@on_a_context
@pass_app
def sync_command(app: App) -> None:
    """Make the server serve what the workspace says; models of no package here are left alone."""
    if app.context:
        from tritonpm.cli.fleet import synchronise

        synchronise(app)
        return
    from tritonpm.core.errors import ServerError
    from tritonpm.operations.upkeep import sync

    failed = []
    for done, name, reason in sync(app.serving()):
        app.say(f"{name} could not be {done}: {reason}" if reason else f"{done.capitalize()} {name}.")
        failed += [name] if reason else []
    if failed:
        raise ServerError(f"{', '.join(failed)} could not be synchronised", do="see `tritonpm status`")


@command("why", examples="tritonpm why bolts\ntritonpm why detect.6e2f9bf9d1c2")
@NAME
@on_a_server
@reading
@pass_app
def why_command(app: App, name: str) -> None:
    """Say what keeps a model loaded."""
    from tritonpm.operations.upkeep import why

    reasons = why(app.serving(), name)
    app.emit("Reasons", reasons, lambda: click.echo("\n".join(reasons) or f"Nothing keeps {name} loaded."))


@command("infer", examples="tritonpm infer bolts --input in.npz --output out.npz --protocol grpc")
@NAME
@click.option(
    "--input", "inputs", type=click.Path(path_type=Path), help="An .npz of input tensors by name [default: a sample]."
)
@click.option("--output", "outputs", type=click.Path(path_type=Path), help="Write the answer there as .npz.")
@click.option("--version", default="", help="A version of the model [default: the server's choice].")
@PROTOCOL
@on_a_server
@reading
@pass_app
def infer_command(app: App, name: str, inputs: Path | None, outputs: Path | None, version: str, protocol: str) -> None:
    """Send one inference request and print or keep the answer."""
    from tritonpm.cli.output import table

    answer = app.serving().infer(name, inputs, outputs, protocol=protocol, version=version)
    rows = ((t.name, t.dtype, t.shape, t.values, t.labels) for t in answer.tensors)
    app.emit("Answer", answer, lambda: table(("OUTPUT", "TYPE", "SHAPE", "VALUES", "CLASSES"), rows))
    if outputs:
        app.advise(f"Wrote {outputs}.")

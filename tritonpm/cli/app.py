"""What every command shares: the group that finds commands lazily, the common options, and the one sink for output."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tritonpm import __version__
from tritonpm.cli.amounts import LIMIT
from tritonpm.cli.output import echo
from tritonpm.core.text import harmless

if TYPE_CHECKING:
    from tritonpm.cli.headings import Headings
    from tritonpm.operations.context import Context
    from tritonpm.triton.connection import Connection

F = TypeVar("F", bound=Callable[..., Any])

# Every command, by what a user does with it, in the order in which a newcomer meets them. `tritonpm VERB` is
# commands/VERB.py, which is imported only when the command is run or its help is asked for.
GROUPS: Headings = {
    "The first minute": ("run", "client"),
    "Packages": ("import", "adopt", "list", "show", "inspect", "rename", "remove", "export"),
    "Settings": ("set", "plan", "apply", "declare"),
    "Serving": ("load", "unload", "reload", "infer", "status", "sync", "why", "use", "projects"),
    "Live changes": ("upgrade", "history", "rollback", "diff", "prune", "canary", "promote", "abort"),
    "Optimising and measuring": ("optimize", "jobs", "convert", "profile", "perf", "tune"),
    "Repositories and deployment": ("render", "lint", "targets", "publish", "deploy", "pull", "push", "sign", "policy"),
    "Fleets": ("context", "fleet"),
    "Server": ("serve", "stop", "logs", "tracing", "logging", "top", "ui", "token", "audit", "mcp"),
    "Workspace": ("init", "config", "doctor", "verify", "schema", "completion"),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)
_ALL = "--all"
_FILES = {"import": "import_package"}  # where the command's name is a word of Python


class App:
    """The choices that hold for the whole run of a command, each as it is where nobody chose."""

    workspace: Path | None = None
    server: str | None = None
    headers: tuple[str, ...] = ()
    token: Path | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    timeout: float | None = None
    context: str = ""
    target: str = ""
    output: str = "table"
    debug: bool = False

    @contextmanager
    def open(self) -> Iterator[Context]:
        """The workspace that was named, or the one around the current folder. Raises NotFoundError."""
        from tritonpm.operations.context import open_context

        with open_context(
            self.workspace, server=self.connection(), progress=self.progress, warn=self.advise, for_release=self.target
        ) as context:
            yield context

    def connection(self) -> Connection | None:
        """The server that was named; None is the workspace's own. Raises NotFoundError, UsageError."""
        return self.connection_to(self.server) if self.server else None

    def connection_to(self, url: str) -> Connection:
        """A server, with what was said that servers want to see. Raises NotFoundError, UsageError."""
        from tritonpm.triton.connection import TIMEOUT, Connection, Tls, bearer, headers_of

        headers = {**headers_of(self.headers), **(bearer(self.token) if self.token else {})}
        tls = Tls(self.ca, self.certificate, self.key) if self.ca or self.certificate or self.key else None
        return Connection(url, headers, tls, self.timeout or TIMEOUT)

    def on_server(self, command: str) -> str:
        """A command for a hint, about the server that was named."""
        return f"`{command} --server {self.server}`" if self.server else f"`{command}`"

    def emit(self, kind: str, data: object, text: Callable[[], None]) -> None:
        """Print a result: `data` in the versioned envelope for json and yaml, else what `text` prints."""
        if self.output == "table":
            text()
            return
        from tritonpm.cli.output import envelope

        echo(envelope(kind, data, self.output))

    def say(self, sentence: str) -> None:
        """What was done, for a person: standard output, and nothing where json or yaml was asked for."""
        if self.output == "table":
            echo(sentence)

    def advise(self, sentence: str) -> None:
        """A hint for a person: standard error."""
        echo(sentence, err=True)

    def fail(self, sentence: str, code: int) -> int:
        """Say why it failed, in one line on standard error, and hand back the exit code."""
        click.secho("Error: ", fg="red", bold=True, nl=False, err=True, color=None if _colours(sys.stderr) else False)
        echo(" ".join(sentence.splitlines()), err=True)
        return code

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show that something long is going on; the callback takes (done, total), total 0 where it is not known."""
        if not (sys.stdout.isatty() and sys.stderr.isatty()):
            yield lambda done, total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(harmless(what), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total or None)


def _colours(stream: Any) -> bool:
    import os

    return "NO_COLOR" not in os.environ and stream.isatty()


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(App), name, value)

    return store


def _common() -> list[click.Parameter]:
    """The options that every command takes, before or after its name."""
    return [
        click.Option(
            ["-w", "--workspace"],
            type=click.Path(path_type=Path),
            envvar="TRITONPM_WORKSPACE",
            expose_value=False,
            callback=_remember("workspace"),
            help="The workspace's folder [default: the one that the current folder is in; TRITONPM_WORKSPACE].",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_remember("debug"),
            help="Show a traceback when something fails.",
        ),
    ]


class Drawn(click.Command):
    """A command whose help is drawn by rich_click, its options under headings; `--help --all` leaves none out."""

    headings: Headings = MappingProxyType({})
    groups: Headings = headings  # of the commands, where it is a group

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `--all` out where it goes with `--help`."""
        if _ALL in args and any(name in args for name in ctx.help_option_names):
            args = [arg for arg in args if arg != _ALL]
            ctx.meta[_ALL] = True
        return super().parse_args(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """Its help, as a text for a terminal."""
        from tritonpm.cli.help import drawn

        return drawn(self, ctx, self.headings, self.groups, everything=_ALL in ctx.meta)


class Command(Drawn):
    """A command with the common options and, below its help, its examples."""

    def __init__(self, *args: Any, examples: str = "", headings: Headings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common())
        self.headings = headings or {}
        self.examples = [line.strip() for line in examples.strip().splitlines()]
        self.short_help = re.split(r"[;:]\s|\.$", (self.help or "").partition("\n")[0])[0]  # one line among others

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, one a line, as they are typed."""
        formatter.write("Examples:\n\n" + "".join(f"  {line}\n" for line in self.examples))


class Group(Command, click.Group):
    """A group with the common options and, below its help, its examples."""


class Commands(Drawn, click.Group):
    """Finds a command's module by its name, so that `tritonpm list` imports nothing that only `serve` needs."""

    groups = GROUPS

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the exit codes say."""
        from tritonpm.core.exit_codes import KINDS

        formatter.write("Exit codes:\n\n" + "".join(f"  {code:<3}  {words}\n" for code, words, _ in KINDS))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tritonpm.cli.commands.{_FILES.get(cmd_name, cmd_name.replace('-', '_'))}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command if isinstance(command, click.Command) else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="tritonpm %(version)s")
def cli() -> None:
    """The package manager for NVIDIA Triton Inference Server.

    A package goes in, a Triton model repository comes out, a real Triton serves it.
    """


cli.params.extend(_common())


def command(
    name: str, *, examples: str = "", headings: Headings | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command of the CLI, with examples for its help and headings for its options."""
    return click.command(name, cls=Command, examples=examples, headings=headings)


def reading(function: F) -> F:
    """Add `-o table|json|yaml` to a command that reads."""
    return reading_as()(function)


def reading_as(*more: str) -> Callable[[F], F]:
    """As `reading`, with forms that the command itself prints."""
    return click.option(
        "-o",
        "--format",
        "output",
        type=click.Choice(["table", "json", "yaml", *more]),
        default="table",
        show_default=True,
        expose_value=False,
        callback=_remember("output"),
        help="The output format.",
    )


# The options that say where somebody else's Triton is and what it wants to see: App's field, option, and the help.
_OF_A_SERVER: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("server", "--server", "URL", "The URL of an external Triton [default: this workspace's own; TRITON_URL].",
     {"envvar": "TRITON_URL"}),
    ("headers", "--server-header", "NAME=VALUE", "A header to send with every request (repeatable).",
     {"multiple": True}),
    ("token", "--server-token-file", "FILE", "A file with the bearer token for it [TRITON_TOKEN_FILE].",
     {"envvar": "TRITON_TOKEN_FILE", "type": click.Path(path_type=Path)}),
    ("ca", "--server-ca", "FILE", "A PEM file with the CA of its certificate [default: the system's].", {}),
    ("certificate", "--server-certificate", "FILE", "A PEM file with a client certificate, if it requires one.", {}),
    ("key", "--server-key", "FILE", "A PEM file with the client certificate's key.", {}),
    ("timeout", "--server-timeout", "SECONDS", "Seconds to wait for an answer, except when loading [default: 30].",
     {"type": LIMIT}),
)  # fmt: skip


def on_a_server(function: F) -> F:
    """Add `--server URL`, and what that server wants to see, to a command that talks to Triton."""
    return _of_a_server(function, _OF_A_SERVER)


def on_its_server(function: F) -> F:
    """Add what a server wants to see to a command whose argument may be that server."""
    return _of_a_server(function, _OF_A_SERVER[1:])


def shown_to_servers(function: F) -> F:
    """Add what servers want to see, as far as it is kept in files, to a command that notes how they are reached."""
    return _of_a_server(function, _OF_A_SERVER[2:])


def _of_a_server(function: F, rows: tuple[tuple[str, str, str, str, dict[str, Any]], ...]) -> F:
    for name, option, metavar, help_text, more in reversed(rows):
        function = click.option(
            option, name, metavar=metavar, help=help_text, expose_value=False, callback=_remember(name), **more
        )(function)
    return function


def on_a_context(function: F) -> F:
    """Add `--context NAME` to a command that talks to all servers of a context."""
    option = click.option(
        "--context",
        metavar="NAME",
        envvar="TRITONPM_CONTEXT",
        expose_value=False,
        callback=_remember("context"),
        help="The context whose servers are meant [default: the one chosen with `context use`; TRITONPM_CONTEXT].",
    )
    return option(function)


def for_a_release(function: F) -> F:
    """Add `--target RELEASE` to a command whose result fits a Triton release."""
    option = click.option(
        "--target",
        metavar="RELEASE",
        envvar="TRITONPM_TARGET",
        expose_value=False,
        callback=_remember("target"),
        help="The Triton release to render for, such as 25.10 [default: the workspace's; TRITONPM_TARGET].",
    )
    return option(function)


pass_app = click.make_pass_decorator(App)

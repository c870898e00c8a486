"""The entry point: runs a command and turns what went wrong into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from tritonpm import __version__

if TYPE_CHECKING:
    from tritonpm.core.errors import TritonpmError


def main() -> NoReturn:
    """Run `tritonpm`; it ends with a code of `core/exit_codes.py`."""
    if sys.argv[1:] == ["--version"]:  # before click is imported: scripts ask this often
        print(f"tritonpm {__version__}")  # noqa: T201
        sys.exit(0)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no such letter is told which it is
    try:
        code = _run()
    except KeyboardInterrupt:  # while the command was still being loaded
        sys.stderr.write("Error: interrupted\n")
        code = 130  # INTERRUPTED, which may not be loaded yet
    sys.exit(code)


def _run() -> int:
    import click

    from tritonpm.cli.app import App, cli
    from tritonpm.core.errors import TritonpmError
    from tritonpm.core.exit_codes import INTERRUPTED, PIPE_CLOSED, exit_code
    from tritonpm.core.files import system_error
    from tritonpm.core.user_config import adopt

    app, stdout = App(), sys.stdout
    try:
        _require_text()
        adopt()
        cli.main(prog_name="tritonpm", standalone_mode=False, obj=app)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "tritonpm"
        return app.fail(f"{error.format_message().rstrip('.')}; try `{path} --help`", 2)
    except TritonpmError as error:
        if app.debug:
            raise
        return app.fail(_in_words(error), exit_code(error))
    except (KeyboardInterrupt, click.Abort):
        return app.fail("interrupted", INTERRUPTED)
    except (BrokenPipeError, SystemExit) as error:  # the reader of a pipe has gone: nothing is left to say to it
        if isinstance(error, SystemExit) and sys.stdout is stdout:  # click wraps it in that case, and ends with 1
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        if app.debug:
            raise
        failed = system_error(error)
        return app.fail(str(failed), exit_code(failed))
    return 0


def _in_words(error: TritonpmError) -> str:
    """An error in the language of TRITONPM_LANG, else of the locale; English where neither names one that we speak."""
    wanted = next(filter(None, map(os.environ.get, ("TRITONPM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if wanted.startswith(("en", "C", "POSIX")) or not wanted:
        return str(error)
    from tritonpm.web.language import negotiated

    say = negotiated(wanted.partition(".")[0].replace("_", "-"))
    where, do = (f"{error.where}: " if error.where else ""), (f"; {say.told(error.do)}" if error.do else "")
    return f"{where}{say.told(error.what)}{do}"


def _require_text() -> None:
    """Raise UsageError where something that was typed is no text: it can be no name, and nothing could print it."""
    from tritonpm.core.errors import UsageError

    typed = [*sys.argv[1:], *(value for name, value in os.environ.items() if name.startswith("TRITON"))]
    for text in typed:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"{os.fsencode(text)[:80]!r} is not UTF-8", do="write it in UTF-8; rename such a file")


if __name__ == "__main__":
    main()

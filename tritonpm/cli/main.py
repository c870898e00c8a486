"""The entry point: runs a command and turns what went wrong into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from tritonpm import __version__


def main() -> NoReturn:
    """Run `tritonpm`. Exit codes: 0, 1 (failed), 2 (usage), 130 (interrupted)."""
    if sys.argv[1:] == ["--version"]:  # before click is imported: scripts ask this often
        print(f"tritonpm {__version__}")  # noqa: T201
        sys.exit(0)
    try:
        code = _run()
    except KeyboardInterrupt:  # while the command was still being loaded
        sys.stderr.write("Error: interrupted\n")
        code = 130
    sys.exit(code)


def _run() -> int:
    import click

    from tritonpm.cli.app import App, cli
    from tritonpm.core.errors import TritonpmError

    app = App()
    try:
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
        return app.fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return app.fail("interrupted", 130)
    except BrokenPipeError:  # the reader of a pipe has gone: nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


if __name__ == "__main__":
    main()

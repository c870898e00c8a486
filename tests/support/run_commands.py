"""Runs commands one after the other within one process, as a program: argv[1] is a JSON list of argument lists.

Prints a JSON list of [exit code, standard output, standard error]; what escapes is a traceback on standard error.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from pathlib import Path

from tritonpm.cli.main import main


def answered(arguments: list[str]) -> tuple[object, str, str]:
    """How a command ends. An argument > FILE keeps what it prints."""
    target = arguments[arguments.index(">") + 1] if ">" in arguments else ""
    sys.argv = ["tritonpm", *(arguments[: arguments.index(">")] if target else arguments)]
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
    if target:
        Path(target).write_text(out.getvalue())
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    answers = [answered(arguments) for arguments in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(answers))

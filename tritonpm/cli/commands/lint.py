"""`tritonpm lint`: what Triton would say of a repository."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.output import echo
from tritonpm.core.errors import TritonpmError


@command("lint", examples="tritonpm lint model_repository\ntritonpm lint model_repository/densenet_onnx")
@click.argument("folder", type=click.Path(path_type=Path))
@reading
@pass_app
def lint_command(app: App, folder: Path) -> None:
    """Say what Triton would say of a repository or a model folder; no server is needed."""
    from tritonpm.operations.lint import lint

    findings = lint(folder)

    def text() -> None:
        for f in findings:
            place = f"{f.file}:{f.line}" if f.line else f.file
            echo(f"{place}: {f.level}: {f.sentence} [{f.rule}]")

    app.emit("LintReport", findings, text)
    errors = sum(f.level == "error" for f in findings)
    if errors:
        raise TritonpmError(
            f"Triton would not load it: {errors} error{'s' * (errors > 1)}",
            where=str(folder),
            do="correct what is listed above",
        )
    app.say(f"{folder}: Triton would load it.")

"""`tritonpm lint`: what Triton would say of a repository."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, command, pass_app, reading_as
from tritonpm.cli.output import echo
from tritonpm.core.errors import TritonpmError
from tritonpm.core.units import number_of


@command(
    "lint",
    examples="""
    tritonpm lint model_repository
    tritonpm lint model_repository/densenet_onnx --target 25.10
    tritonpm lint model_repository --target 24.10..26.08
    tritonpm lint model_repository -o sarif > lint.sarif
    """,
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--target",
    default="",
    metavar="RELEASES",
    help="Triton releases: 24.10, or 24.10,25.10, or 24.10..26.08 [default: embedded].",
)
@reading_as("sarif")
@pass_app
def lint_command(app: App, folder: Path, target: str) -> None:
    """Check a repository or model folder as Triton would; no server is needed.

    The exit code is 0 if everything would load, even with warnings, and 1 if something would not.
    """
    from tritonpm.operations.lint import lint

    findings = lint(folder, target)

    def text() -> None:
        for f in findings:
            place = f"{f.file}:{f.line}" if f.line else f.file
            echo(f"{place}: {f.level}: {f.sentence} [{f.rule}]")

    if app.output == "sarif":
        from tritonpm.cli.sarif import sarif

        echo(sarif(findings, Path.cwd()))
    else:
        app.emit("LintReport", findings, text)
    errors = [f for f in findings if f.level == "error"]
    refusing = {f.release for f in errors}
    if errors:
        of = f" of {', '.join(sorted(refusing))}" if "" not in refusing else ""
        raise TritonpmError(
            f"Triton{of} would not load it: {number_of(len(errors), 'error')}",
            where=str(folder),
            do="correct what is listed above",
        )
    app.say(f"{folder}: Triton would load it.")

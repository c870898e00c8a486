"""`tritonpm completion`: the shell's completion script."""

from __future__ import annotations

import click

from tritonpm.cli.app import command
from tritonpm.cli.output import echo


@command("completion", examples='eval "$(tritonpm completion bash)"\ntritonpm completion fish | source')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the shell's completion script."""
    from click.shell_completion import get_completion_class

    from tritonpm.cli.app import cli

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"there is no completion for {shell}")
    echo(completion(cli, {}, "tritonpm", "_TRITONPM_COMPLETE").source())

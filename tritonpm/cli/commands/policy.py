"""`tritonpm policy`: what packages must be to come in."""

from __future__ import annotations

from pathlib import Path

import click

from tritonpm.cli.app import App, Group, command, pass_app, reading


@click.group(
    "policy",
    cls=Group,
    invoke_without_command=True,
    examples="tritonpm policy\ntritonpm policy -o json\ntritonpm policy set policy.yaml\ntritonpm policy clear",
)
@reading
@click.pass_context
def policy_command(context: click.Context) -> None:
    """Show what this workspace requires of packages: its policy.yaml.

    What it required is remembered: if the file is gone, or requires less, nothing is let in before `set` or `clear`.
    """
    if context.invoked_subcommand is None:
        _show(context.ensure_object(App))


def _show(app: App) -> None:
    from tritonpm.cli.output import facts
    from tritonpm.operations.policy import read

    with app.open() as context:
        policy = read(context).view()
    pairs = [("signature", "required" if policy.signature else "not required"), ("file", policy.file)]
    pairs += [("key", key) for key in policy.keys]
    pairs += [("certificate", certificate) for certificate in policy.certificates]
    if asked := policy.attestation:
        least = f", an agreement of at least {asked.agreement:g}" if asked.agreement else ""
        pairs += [("attestation", f"required{least}{f', on Triton {asked.release}' if asked.release else ''}")]
        pairs += [("attested by", key) for key in (*asked.keys, *asked.certificates)]
    app.emit("Policy", policy, lambda: facts(pairs))


@command("set", examples="tritonpm policy set policy.yaml\ntritonpm policy set /mnt/share/policy.yaml")
@click.argument("file", type=click.Path(path_type=Path))
@pass_app
def set_command(app: App, file: Path) -> None:
    """Put a policy into force, whatever was required before."""
    from tritonpm.operations.policy import set_policy

    with app.open() as context:
        policy = set_policy(context, file)
    asked = (("a signature", policy.trust), ("an attestation", policy.attestation))
    what = " and ".join(word for word, required in asked if required)
    app.say(f"Packages need {what} from now on, as {policy.file} says.")


@command("clear", examples="tritonpm policy clear")
@pass_app
def clear_command(app: App) -> None:
    """Stop requiring anything of packages; policy.yaml is deleted."""
    from tritonpm.operations.policy import clear_policy

    with app.open() as context:
        clear_policy(context)
    app.say("Packages no longer need a signature or an attestation.")


for _command in (set_command, clear_command):
    policy_command.add_command(_command)

"""`tritonpm policy`: what packages must be to come in."""

from __future__ import annotations

from tritonpm.cli.app import App, command, pass_app, reading


@command("policy", examples="tritonpm policy\ntritonpm policy -o json")
@reading
@pass_app
def policy_command(app: App) -> None:
    """Show what packages must be to come into this workspace: policy.yaml."""
    from tritonpm.catalogue import find
    from tritonpm.cli.output import facts
    from tritonpm.operations.policy import read

    policy = read(find(app.workspace)).view()
    pairs = [("signature", "required" if policy.signature else "not required"), ("file", policy.file)]
    pairs += [("key", key) for key in policy.keys]
    pairs += [("certificate", certificate) for certificate in policy.certificates]
    app.emit("Policy", policy, lambda: facts(pairs))

"""`tritonpm mcp`: the workspace for agents."""

from __future__ import annotations

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app


@command("mcp", examples="tritonpm mcp\ntritonpm -w /srv/line-3 mcp --read-only")
@click.option("--read-only", is_flag=True, help="Offer only operations that change nothing.")
@on_a_server
@pass_app
def mcp_command(app: App, read_only: bool) -> None:
    """Offer the workspace to agents (Model Context Protocol).

    The agent starts it, and talks to it on standard input and output. Reading is free. A change needs the digest of a
    plan that was shown, and is refused if anything has changed since.
    """
    from tritonpm.cli.mcp_tools import agents_server

    server = agents_server(app, read_only=read_only)
    with app.open():
        pass  # a workspace that is not there is said now
    server.run("stdio")

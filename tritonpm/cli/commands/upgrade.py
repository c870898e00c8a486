"""`tritonpm upgrade`: a new version in the place of the old one."""

from __future__ import annotations

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.live_output import say_switched
from tritonpm.cli.options import ALLOW_CODE, NAME, SOURCE


@command("upgrade", examples="tritonpm upgrade bolts bolts-2.zip\ntritonpm upgrade bolts models:/bolts/4")
@NAME
@SOURCE
@ALLOW_CODE
@on_a_server
@reading
@pass_app
def upgrade_command(app: App, name: str, source: str, allow_code: bool) -> None:
    """Replace a package with a new version; live if it is loaded.

    SOURCE is a path, or an address as for `tritonpm pull`.
    """
    from tritonpm.operations.upgrade import upgrade

    with app.open() as context:
        loaded = upgrade(context, name, source, allow_code=allow_code)
    say_switched(app, name, loaded)

"""`tritonpm verify`: is all as it was written, here or in a repository elsewhere?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.options import REPOSITORY
from tritonpm.core.errors import TritonpmError

if TYPE_CHECKING:
    from tritonpm.operations.verify import Damage


@command("verify", examples="tritonpm verify\ntritonpm verify -o json\ntritonpm verify --repository s3://bucket/models")
@REPOSITORY
@reading
@pass_app
def verify_command(app: App, repository: str | None) -> None:
    """Read every blob and published file, and report what has changed; `doctor --fix` repairs it."""
    if repository:
        verify_elsewhere(app, repository)
        return
    from tritonpm.operations.verify import verify

    with app.open() as context:
        damages = verify(context)
    _emit(app, damages)
    if any(damage.kind != "foreign" for damage in damages):
        raise TritonpmError("something is damaged", do="`tritonpm doctor --fix` restores it from the blobs")


def verify_elsewhere(app: App, repository: str) -> None:
    """Read all that a repository elsewhere is said to hold, and tell what is not as it was published."""
    from tritonpm.operations import remote_repository as stores

    damages = stores.verify(stores.opened(repository))
    _emit(app, damages)
    if any(damage.mendable for damage in damages):
        raise TritonpmError("something differs from what was published", do="`tritonpm publish --anew` sends it again")


def _emit(app: App, damages: list[Damage]) -> None:
    from tritonpm.cli.output import table

    rows = ((damage.kind, damage.name, damage.sentence) for damage in damages)
    heads = ("KIND", "WHAT", "PROBLEM")
    app.emit("Damages", damages, lambda: table(heads, rows) if damages else app.say("Nothing is damaged."))

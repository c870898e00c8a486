"""`tritonpm why`: what keeps a model loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.server import connect
from tritonpm.operations.usage import users
from tritonpm.triton.ensembles import members_of

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


def why(context: Context, name: str) -> list[str]:
    """One sentence for each reason, [] where nothing keeps it loaded."""
    reasons = [f"it is a member of the cascade {cascade}" for cascade in cascades_with(context, name)]
    if name in {entry.name for entry in context.catalogue.packages()}:
        if context.catalogue.get(name).wanted:
            reasons.append("`tritonpm load` asked for it, and `serve` loads it again")
        reasons += [f"project {project} uses it" for project in context.catalogue.leases.users().get(name, ())]
    reasons += [f"{user} use it" for user in users(context, name) if user.startswith("clients")]
    with connect(context) as client:
        ready = [state for state in client.index() if state.name == name and state.state == "READY"]
    if ready and not reasons:
        reasons.append("nothing here: somebody else loaded it (`tritonpm sync` unloads what is of a package here)")
    return reasons


def cascades_with(context: Context, member: str) -> list[str]:
    """The packages whose current revision has this member."""
    holding = context.catalogue.holding([member])
    return [revision.name for revision in holding if member in members_of(revision)]

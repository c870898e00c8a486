"""`tritonpm prune`: old revisions of a package are forgotten, and what only they needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpm.operations.audit import audited
from tritonpm.operations.local_repository import changing, collect
from tritonpm.operations.usage import require_unleased

if TYPE_CHECKING:
    from tritonpm.operations.context import Context


@audited("prune", "keep")
def prune(context: Context, name: str, keep: int) -> tuple[list[int], int]:
    """Forget all but the newest revisions and the current one, and the blobs that only they need: (which, how many)."""
    with changing(context, f"prune {name}"):
        require_unleased(context, name)
        gone = context.catalogue.prune(name, keep)
        return gone, collect(context)

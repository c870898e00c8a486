"""What packages must be to come in. Who may change that has the workspace's folder and the command line."""

from __future__ import annotations

from dataclasses import replace

from tritonpm.operations.policy import PolicyView, read
from tritonpm.web.api.common import TheSite, new_router
from tritonpm.web.problems import shown

router = new_router("packages")


@router.get("/policy")
def policy(site: TheSite) -> PolicyView:
    """What is required of packages; 422 where that lets nothing in, with the reason."""
    with site.open() as context:
        view = read(context).view()
    keys, certificates = (tuple(shown(path, site.root) for path in paths) for paths in (view.keys, view.certificates))
    return replace(view, file=shown(view.file, site.root), keys=keys, certificates=certificates)

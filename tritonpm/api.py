"""The operations for programs: what the command line and the page call, under the names of the commands.

    import tritonpm
    from tritonpm import api

    with tritonpm.open("/srv/line-3") as workspace:
        api.set_package(workspace, "bolts", {"mode": "performance", "instances": 2})
        api.load(workspace, "bolts")

Each takes the opened workspace as its first argument, returns a frozen result or iterates over its steps as they
happen, prints nothing, and raises the errors that its docstring names: subclasses of `TritonpmError`. Everything in
`__all__` is stable within one major version. Programs that only send requests use `tritonpm.client`.
"""

from __future__ import annotations

from tritonpm.core.errors import TritonpmError
from tritonpm.operations.adopt import adopt
from tritonpm.operations.canary import abort, promote
from tritonpm.operations.canary import start as canary
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import apply, plan
from tritonpm.operations.declaration import export as declare
from tritonpm.operations.diff import differences as diff
from tritonpm.operations.export import export
from tritonpm.operations.history import history
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.inspect import inspect
from tritonpm.operations.lint import lint
from tritonpm.operations.list import PackageView, packages
from tritonpm.operations.load import load
from tritonpm.operations.logs import logs
from tritonpm.operations.optimize.jobs import start as optimize
from tritonpm.operations.optimize.jobs import to_optimise_for, watch
from tritonpm.operations.projects import projects
from tritonpm.operations.prune import prune
from tritonpm.operations.pull import pull
from tritonpm.operations.push import push
from tritonpm.operations.reload import reload
from tritonpm.operations.remote_repository import publish
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.render import render
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import serve
from tritonpm.operations.set import change as set_package
from tritonpm.operations.set import change_live as set_live
from tritonpm.operations.show import show
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.operations.use import release, use
from tritonpm.operations.verify import verify
from tritonpm.operations.why import why

__all__ = [
    "Context", "TritonpmError", "abort", "adopt", "apply", "canary", "declare", "diff", "export", "history",
    "import_package", "init", "inspect", "lint", "list_packages", "load", "logs", "optimize", "plan", "projects",
    "promote", "prune", "publish", "pull", "push", "release", "reload", "remove", "rename", "render", "rollback",
    "serve", "set_live", "set_package", "show", "status", "stop", "sync", "to_optimise_for", "unload", "upgrade",
    "use", "verify", "watch", "why",
]  # fmt: skip


def list_packages(workspace: Context) -> list[PackageView]:
    """Every package, by name."""
    return packages(workspace.catalogue)

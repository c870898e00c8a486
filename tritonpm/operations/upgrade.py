"""`tritonpm upgrade`: another content under the same name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.apart import Apart
from tritonpm.core.types import File
from tritonpm.operations.audit import audited
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.cascades import as_cascade
from tritonpm.operations.import_package import inherited, read_package
from tritonpm.operations.local_repository import changing, require_idle
from tritonpm.operations.package_source import package_source
from tritonpm.operations.render import revision_of
from tritonpm.operations.summary import summary
from tritonpm.operations.switch import switch

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded


@audited("upgrade", "source", "changes", "allow_code")
def upgrade(
    context: Context, name: str, source: str | Path, changes: Mapping[str, object] | None = None, *,
    allow_code: bool = False, tasks: Mapping[str, str] | None = None,
) -> Loaded | None:  # fmt: skip
    """Another content, at a path or an address, under the same name, live, with `changes` to the settings.

    `tasks` as for `import`. Raises PackageError, RuleError, ServerError, UsageError, and what `fetch` raises.
    """
    context.catalogue.get(name)
    with package_source(context, source) as path:
        change = partial(exchange, context, name, path, changes, allow_code=allow_code, tasks=tasks)
        return switch(context, name, change)


def exchange(
    context: Context, name: str, source: Path, changes: Mapping[str, object] | None = None, *,
    allow_code: bool = False, tasks: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Another content is wanted under the same name; the settings stay where the rules let them, but for `changes`.

    Raises PackageError, RuleError, NotFoundError, UsageError, BusyError while it is being optimised.
    """
    from tritonpm import settings as choices
    from tritonpm.package.tasks import with_tasks

    record = context.catalogue.get(name)
    with context.workspace.scratch("upgrade") as staging, Apart() as apart:
        read = read_package(context, source, staging, apart, name=name, allow_code=allow_code)
        package = as_cascade(context, with_tasks(read, tasks or {}), staging)

        def place(file: File) -> Path:
            return staging / file.path

        axes = batch_axes(context, package, place, apart)
        first = choices.defaults(package, axes, "gpu" if context.target.gpus else "cpu")
        chosen, _ = choices.adjusted(
            package, inherited(record.settings, package, first, axes), changes or {}, axes, context.target
        )
        axes = batch_axes(context, package, place, settings=chosen)
        revision_of(context, package, chosen, axes, place)
        with changing(context, f"upgrade {name}"):
            require_idle(context, name)
            for file in package.files:
                context.blobs.put(staging / file.path, file.digest, move=True)
            context.catalogue.replace(name, package, chosen, summary(context, package, chosen, axes))

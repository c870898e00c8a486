"""`tritonpm canary`, `promote`, `abort`: what shall come after a package is served beside it first, as NAME-canary.

A canary is a package of its own: it is optimised, measured, watched and asked like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import NotFoundError, ServerError, TritonpmError, UsageError
from tritonpm.operations.audit import audited
from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import Loaded, load
from tritonpm.operations.local_repository import changing
from tritonpm.operations.package_source import package_source
from tritonpm.operations.remove import remove
from tritonpm.operations.server import await_return, is_loaded
from tritonpm.operations.summary import summary
from tritonpm.operations.switch import take_over
from tritonpm.operations.unload import unload
from tritonpm.package.paths import require_name

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.operations.context import Context

SUFFIX = "-canary"


@audited("canary", "source", "changes", "allow_code")
def start(
    context: Context, name: str, source: str | Path | None, changes: Mapping[str, object], *, allow_code: bool = False
) -> Loaded:
    """Serve another content, other settings or both beside a package. Raises what `pull` and `load` raise.

    Where it does not prove itself nothing of it stays.
    """
    if source is None and not changes:
        raise UsageError("a canary differs in its content or in its settings", do="give a package, or options")
    canary = name + SUFFIX
    require_name(canary)
    context.catalogue.require_free(canary)
    if source is None:
        _add_alike(context, context.catalogue.get(name), canary, changes)
    else:
        context.catalogue.get(name)
        with package_source(context, source) as path:
            import_package(context, path, name=canary, allow_code=allow_code, changes=changes, canary_of=name)
    try:
        return load(context, canary, probe=context.catalogue.get(name).probed)
    except BaseException:
        with suppress(TritonpmError):  # the first error is the one to tell
            remove(context, canary)
        raise


@audited("promote")
def promote(context: Context, name: str) -> Loaded | None:
    """The canary takes the place of its package, live; None where that is not loaded. Raises ServerError."""
    record = canary_record(context, name)
    loaded = take_over(context, name, Source(replace(record.package, name=name), record.settings))
    _end(context, name)
    return loaded


@audited("abort")
def abort(context: Context, name: str) -> None:
    """Give the canary up. Raises NotFoundError."""
    canary_record(context, name)
    _end(context, name)


def canary_record(context: Context, name: str) -> Record:
    """A package's canary. Raises NotFoundError where it has none."""
    with suppress(NotFoundError):
        record = context.catalogue.get(name + SUFFIX)
        if record.canary_of == name:
            return record
    context.catalogue.get(name)
    raise NotFoundError(f"{name} has no canary", do=f"start one with `tritonpm canary {name} NEW.zip`")


def counterpart(context: Context, name: str) -> str:
    """A package's canary, or what it is the canary of; "" where there is none. Raises NotFoundError."""
    if of := context.catalogue.get(name).canary_of:
        return of
    with suppress(NotFoundError):
        return canary_record(context, name).package.name
    return ""


def _add_alike(context: Context, record: Record, canary: str, changes: Mapping[str, object]) -> None:
    """The same content with other settings."""
    package = replace(record.package, name=canary)
    settings = chosen_settings(context, replace(record, package=package), changes)
    with changing(context, f"canary {record.package.name}"):
        context.catalogue.add(package, settings, summary(context, package, settings), canary_of=record.package.name)


def _end(context: Context, name: str) -> None:
    """Unload and forget the canary; its clients are expected to go back to the package."""
    canary = name + SUFFIX
    context.catalogue.set_status(canary, "ready", wanted=False)  # a server that begins anew has it no more
    for last in (False, True):
        await_return(context)
        try:
            if is_loaded(context, canary):
                unload(context, canary, force=True)
            break
        except ServerError:  # the server has just ended, perhaps
            if last:
                raise
    remove(context, canary)

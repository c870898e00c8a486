"""Live switching: what serves goes on serving until what comes after it has proved itself.

The new revision is rehearsed first: loaded under a name of its own, beside the one that serves, and probed. Only then
does the public name move, which Triton does between two requests. A cascade moves in one step: its new members have
names of their own, and the ensemble is what moves. Where the rehearsal fails, nobody has noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tritonpm.catalogue import Source
from tritonpm.core.errors import TritonpmError
from tritonpm.operations.load import Loaded, bring, load_proved
from tritonpm.operations.local_repository import changing
from tritonpm.operations.optimize.jobs import ensure
from tritonpm.operations.render import revision_of, wanted_revision
from tritonpm.operations.server import await_return, connect, has_server, is_elsewhere, is_loaded
from tritonpm.operations.summary import summary

if TYPE_CHECKING:
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.settings.settings import Settings


def replace_settings(context: Context, name: str, settings: Settings) -> Loaded | None:
    """These settings in place of all that there were, live. Raises RuleError, ServerError."""
    package = context.catalogue.get(name).package
    revision_of(context, package, settings)
    return take_over(context, name, Source(package, settings))


def take_over(context: Context, name: str, source: Source) -> Loaded | None:
    """This content and these settings under the name, live. Raises ServerError; it is then as it was."""
    return switch(context, name, lambda: put_back(context, name, source))


def switch(
    context: Context, name: str, change: Callable[[], None], revision: Revision | None = None, *, back: bool = False
) -> Loaded | None:
    """Make a change to what is wanted and bring it to the server, live; None where the package is not loaded.

    `revision` is what comes of the change where that is known; `back` is a roll-back.
    Raises what the change raises, ServerError, CapacityError; the package is then as it was.
    """
    before = context.catalogue.get(name)
    serves = _serves(context, name)
    change()
    if not serves:
        return None
    changed = context.catalogue.get(name)
    try:
        if revision is None:
            ensure(context, name)
        with connect(context) as client, changing(context, f"switch {name}"):
            record = context.catalogue.get(name)
            if not (record.wanted or client.ready(name)):  # another tritonpm has unloaded it meanwhile
                return None
            new = revision or wanted_revision(context, name)
            return bring(context, client, record, new, probe=before.probed, wanted=True, rehearse=True, back=back)
    except BaseException:
        was, made = Source(before.package, before.settings), Source(changed.package, changed.settings)
        with suppress(TritonpmError), changing(context, f"put back {name}"):  # the first error is the one to tell
            undo_change(context, name, was, made)
            context.catalogue.set_problem(name, before.problem)
        raise


def _serves(context: Context, name: str) -> bool:
    """Whether a package is to be switched live: it is loaded, or shall be wherever the server has just begun anew.

    Its proved revision comes back first then, so that something serves while the new one is rehearsed.
    """
    entry = context.catalogue.get(name)
    if not entry.wanted or is_elsewhere(context, entry.server):
        return is_loaded(context, name)
    await_return(context)
    if not has_server(context):
        return False
    if not is_loaded(context, name):
        with suppress(TritonpmError):  # what comes after it may mend it
            load_proved(context, name, only_wanted=True)
    return context.catalogue.get(name).wanted


def put_back(context: Context, name: str, source: Source) -> None:
    """Make what is wanted of a package what it was: its content and its settings."""
    with changing(context, f"put back {name}"):
        context.catalogue.replace(
            name, source.package, source.settings, summary(context, source.package, source.settings)
        )


def undo_change(context: Context, name: str, before: Source, made: Source) -> None:
    """What was changed from `before` to `made` becomes what it was; what another tritonpm has changed since stays.

    For who holds the workspace's lock.
    """
    now = context.catalogue.get(name)
    package = before.package if now.package == made.package else now.package
    settings = before.settings if now.settings == made.settings else now.settings
    context.catalogue.replace(name, package, settings, summary(context, package, settings))

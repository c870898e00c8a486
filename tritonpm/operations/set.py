"""`tritonpm set`: other settings for a package, or for one stage of it; at once to the server where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.operations.audit import audited
from tritonpm.operations.chosen_settings import chosen_settings
from tritonpm.operations.local_repository import changing, require_idle
from tritonpm.operations.optimize.decision import batching_words
from tritonpm.operations.show import PackageDetails, show
from tritonpm.operations.summary import summary
from tritonpm.operations.switch import switch
from tritonpm.operations.usage import require_unused
from tritonpm.settings import field_named
from tritonpm.settings.settings import UNPUBLISHED_SETTINGS

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.operations.load import Loaded


@audited("set", "changes", "unset", "stage")
def change(
    context: Context,
    name: str,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    unset: Sequence[str] = (),
) -> PackageDetails:
    """Change what is wanted of a package, or of one stage. Refused while it is in use, but for what is not published.

    `unset` are settings that go back to what the package started with.
    Raises RuleError, NotFoundError, BusyError while it is being optimised.
    """
    require_changeable(context, name, changes, unset)
    with _batching_told(context, name):
        choose(context, name, changes, stage=stage, unset=unset)
    return show(context, name)


def require_changeable(context: Context, name: str, changes: Mapping[str, object], unset: Sequence[str] = ()) -> None:
    """Raise BusyError where somebody uses the package, and what is published would change under them."""
    if not {*changes, *map(field_named, unset)} <= set(UNPUBLISHED_SETTINGS):
        require_unused(context, name, f"change it with `tritonpm set {name} … --live`")


@audited("set", "changes", "unset", "stage")
def change_live(
    context: Context,
    name: str,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    unset: Sequence[str] = (),
) -> Loaded | None:
    """As `change`, live; None where the package is not loaded. Raises RuleError, ServerError; it is then as before."""
    with _batching_told(context, name):
        return switch(
            context,
            name,
            lambda: choose(context, name, changes, stage=stage, unset=unset),
        )


@contextmanager
def _batching_told(context: Context, name: str) -> Iterator[None]:
    """Say where what the block changes turns the joining of requests off or on, which other settings may do."""
    before = show(context, name).max_batch_size
    yield
    if told := batching_words(before, show(context, name).max_batch_size):
        context.warn(f"{told}.")


@audited("set", "changes", "unset", "stage", "calibration")
def choose(
    context: Context,
    name: str,
    changes: Mapping[str, object],
    *,
    stage: str | None = None,
    calibration: Path | None = None,
    unset: Sequence[str] = (),
) -> None:
    """Other settings are wanted, whoever uses the package now; `calibration` is a folder or file of samples for INT8.

    Raises RuleError, NotFoundError, BusyError.
    """
    with changing(context, f"set {name}"):
        require_idle(context, name)
        record = context.catalogue.get(name)
        settings = chosen_settings(context, record, changes, stage=stage, calibration=calibration, unset=unset)
        context.catalogue.set_settings(name, settings, summary(context, record.package, settings))

"""`tritonpm audit`: who did what, when and from where, and how it ended; and what makes an operation be recorded."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tritonpm import registry
from tritonpm.catalogue.audit import DONE, FAILED, REFUSED, AuditEntry
from tritonpm.core.errors import BusyError, StorageError, TritonpmError
from tritonpm.core.units import moment
from tritonpm.settings.settings import Settings

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_OPTIMISED = ("device", "precision", "optimizer")  # of settings that are asked for as a whole
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class AuditView:
    """What somebody did, `package` "" for what is of none, `ended` "" for what has not.

    `way`: user (of the machine `origin`), token, oidc, or open (of loopback); `outcome`: begun, done, failed, refused.
    """

    id: int
    at: str
    who: str
    role: str
    way: str
    origin: str
    action: str
    package: str
    detail: str
    outcome: str
    reason: str
    ended: str


def audit_page(
    context: Context, page: int = 1, size: int = 50, *, package: str = "", who: str = ""
) -> tuple[list[AuditView], int]:
    """A page of the record, the newest first, and how many entries there are; of a package, by somebody."""
    entries, total = context.catalogue.audit.page(page, size, package=package, who=who)
    return [_view(entry) for entry in entries], total


def audited(action: str, *details: str, package: str = "name") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """An operation whose every run is recorded, with the arguments `details`; never one that may hold a secret.

    `package` is the argument that names a package, "" for none. What it calls of other such operations is part of it,
    and not recorded for itself.
    """

    def recorded(operation: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(operation)

        @functools.wraps(operation)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs).arguments
            said = ", ".join(filter(None, (_words(name, given.get(name)) for name in details)))
            with acting(given["context"], action, str(given.get(package) or ""), said) as named:
                result = operation(*args, **kwargs)
                if package:
                    named(str(getattr(result, "name", "")))
                return result

        return run

    return recorded


@contextmanager
def acting(context: Context, action: str, package: str = "", detail: str = "") -> Iterator[Callable[[str], None]]:
    """Record what the block does, and how it ends; what is called says of which package it was, once that is known.

    A disk that is full must not keep anybody from making room: what cannot be recorded is warned of, and done.
    """
    audit, names = context.catalogue.audit, [package]
    if audit.busy:
        yield names.append
        return
    number, unrecorded = None, ""
    try:
        number = audit.begin(context.actor, action, package, detail)
    except (StorageError, BusyError) as error:
        unrecorded = f"This is not recorded: {error}"
    outcome, reason = FAILED, "interrupted"
    audit.busy = True
    try:
        yield names.append
        outcome, reason = DONE, ""
        if unrecorded:  # of what fails too there is nothing to record
            context.warn(unrecorded)
    except TritonpmError as error:
        reason = error.what
        raise
    except Exception as error:
        reason = type(error).__name__
        raise
    finally:
        audit.busy = False
        if number is not None:
            with suppress(StorageError, BusyError):  # it stays what it is in the record: begun
                audit.end(number, outcome, reason, names[-1])


def refused(context: Context, action: str, package: str, why: str) -> None:
    """Record that somebody was refused something; where that cannot be, they are refused all the same."""
    audit = context.catalogue.audit
    with suppress(StorageError, BusyError):
        audit.end(audit.begin(context.actor, action, package), REFUSED, why)


def _words(name: str, value: object) -> str:
    """An argument as the record has it: name=value, or the name alone of what was switched on."""
    if isinstance(value, Settings):
        value = {field: getattr(value, field) for field in _OPTIMISED}
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = " ".join(map(str, value))
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = value.name  # where it lies may say more of the machine than of the package
    if isinstance(value, str) and registry.is_address(value):
        value = registry.shown(value)
    if value in (None, "", False):
        return ""
    return name if value is True else f"{name}={value}"


def _view(entry: AuditEntry) -> AuditView:
    return AuditView(
        entry.id, moment(entry.at), entry.who, entry.role, entry.way, entry.origin, entry.action, entry.package,
        entry.detail, entry.outcome, entry.reason, moment(entry.ended) if entry.ended else "",
    )  # fmt: skip

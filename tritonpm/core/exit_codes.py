"""What a command's exit code says: one for each kind of error, for scripts."""

from __future__ import annotations

from tritonpm.core.errors import (
    BusyError,
    CapacityError,
    DeploymentError,
    NameTakenError,
    NotFoundError,
    PackageError,
    RegistryError,
    RenderError,
    RequirementError,
    RuleError,
    ServerError,
    StorageError,
    TritonpmError,
    UsageError,
    WrongAnswerError,
)

INTERRUPTED = 130  # as a shell has it for who was ended by Ctrl-C
PIPE_CLOSED = 141  # and for who was ended since nobody reads on

# Code, what it says, the errors that end with it; an error that is in no row has its base's.
KINDS: tuple[tuple[int, str, tuple[type[TritonpmError], ...]], ...] = (
    (0, "done", ()),
    (1, "failed, or a check has found something", (TritonpmError, WrongAnswerError)),
    (2, "usage", (UsageError,)),
    (3, "refused: a package, a setting, a name", (PackageError, RuleError, NameTakenError, RenderError)),
    (4, "busy, or in use", (BusyError,)),
    (5, "absent: no such package, file or workspace", (NotFoundError,)),
    (6, "the server is absent, or refused", (ServerError,)),
    (7, "this machine lacks something: an extra, memory, disk", (RequirementError, CapacityError, StorageError)),
    (8, "a registry or cluster is absent, or refused", (RegistryError, DeploymentError)),
    (INTERRUPTED, "interrupted", ()),
    (PIPE_CLOSED, "the reader of its output has gone", ()),
)
CODES = frozenset(code for code, _, _ in KINDS)


def exit_code(error: TritonpmError) -> int:
    """What a command that failed with it ends with: that of the nearest class that has one."""
    of = {kind: code for code, _, kinds in KINDS for kind in kinds}
    return next(of[kind] for kind in type(error).__mro__ if kind in of)

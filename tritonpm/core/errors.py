"""Everything that a user can cause, and nothing else. What a command ends with for each: `core/exit_codes.py`.

    TritonpmError                 what went wrong, where, what to do
    ├── UsageError                the command or its options make no sense together
    ├── PackageError              what was handed in is refused; nothing was written
    │   ├── ManifestError         package.yaml breaks the schema; carries every error with its path
    │   ├── UnsafeError           hostile or dangerous content (traversal, bomb, code)
    │   └── SignatureError        not signed by whom the workspace trusts, or changed since
    ├── RuleError                 a setting breaks a rule
    ├── RequirementError          this machine lacks what a package needs
    ├── CapacityError             too little memory is free
    ├── RenderError               the repository that was asked for cannot be rendered (wiring, template)
    ├── OptimisationError         a model could not be optimised, or does not answer as it did
    │   └── NotOptimisedError     the settings ask for an artefact that was not made yet
    ├── NameTakenError            the name belongs to another package
    │   └── SameContentError      the same content is here under another name
    ├── NotFoundError             no such package, stage, file or workspace
    ├── RoleError                 the role of who asks does not allow it
    ├── BusyError                 another tritonpm holds the lock, or the package is in use
    ├── StorageError              disk full, read-only, corrupt
    ├── RegistryError             a registry is absent, refused, or holds something other than what was asked for
    ├── DeploymentError           a cluster cannot be reached, or refuses what it was given
    └── ServerError               Triton is absent, refused, or did not do what it said
        ├── NoServerError         no server is running for this workspace
        ├── WrongAnswerError      the model answers, and not as it must
        ├── UnreachableError      the connection failed: what was asked for may have been done or not
        └── InferenceError        the server answered a request with an error

Any other exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TritonpmError(Exception):
    """One sentence: `what` happened, `where` (a file, a stage, an option), what to `do` about it."""

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.do = what, where, do

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        return f"{sentence}; {self.do}" if self.do else sentence


@contextmanager
def in_place_of(copy: str, original: str) -> Iterator[None]:
    """For who reads a copy of what a user named: errors name the original."""
    try:
        yield
    except TritonpmError as error:
        error.where = error.where.replace(copy, original)
        raise


class UsageError(TritonpmError):
    """The command or its options make no sense together."""


class PackageError(TritonpmError):
    """What was handed in is refused; nothing was written."""


class ManifestError(PackageError):
    """`package.yaml` breaks the schema; `problems` are (path in the manifest, sentence), every one of them."""

    def __init__(
        self,
        problems: list[tuple[str, str]],
        *,
        where: str = "package.yaml",
        do: str = "correct the manifest (`tritonpm schema` prints what it may hold)",
    ) -> None:
        self.problems = problems
        super().__init__(
            "; ".join(f"{path or '(top level)'}: {sentence}" for path, sentence in problems),
            where=where,
            do=do,
        )


class UnsafeError(PackageError):
    """Hostile or dangerous content: traversal, links, bombs, code that was not asked for."""


class SignatureError(PackageError):
    """Not signed by anyone whom the workspace trusts, or changed since it was signed."""


class RuleError(TritonpmError):
    """A setting breaks a rule; the sentence is the rule's own."""


class RequirementError(TritonpmError):
    """This machine lacks what a package needs."""


class CapacityError(TritonpmError):
    """Too little memory is free."""


class RenderError(TritonpmError):
    """The repository that was asked for cannot be rendered."""


class OptimisationError(TritonpmError):
    """A model could not be optimised, or does not answer as it did."""


class NotOptimisedError(OptimisationError):
    """The settings ask for an artefact that has not been made yet, or no longer fits this machine."""


class NameTakenError(TritonpmError):
    """The name belongs to another package; `existing` is that package, "" where it is none."""

    def __init__(self, what: str, *, existing: str = "", where: str = "", do: str = "") -> None:
        super().__init__(what, where=where, do=do)
        self.existing = existing


class SameContentError(NameTakenError):
    """The same content is here under another name; `existing` is that."""


class NotFoundError(TritonpmError):
    """No such package, stage, file or workspace."""


class RoleError(TritonpmError):
    """Your role does not allow this."""


class BusyError(TritonpmError):
    """Another tritonpm holds the lock, or the package is in use."""


class StorageError(TritonpmError):
    """The disk is full, read-only or holds something other than it should."""


class RegistryError(TritonpmError):
    """A registry is absent, refused, or holds something other than what was asked for."""


class DeploymentError(TritonpmError):
    """A cluster cannot be reached, or refuses what it was given."""


class ServerError(TritonpmError):
    """Triton is absent, refused, or did not do what it said."""


class NoServerError(ServerError):
    """No server is running for this workspace."""


class WrongAnswerError(ServerError):
    """The model answers, but wrongly."""


class UnreachableError(ServerError):
    """The connection failed: what was asked for may have been done or not."""


class InferenceError(ServerError):
    """The server answered an inference request with an error."""

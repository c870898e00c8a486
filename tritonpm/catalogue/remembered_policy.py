"""What a workspace's policy required when it was last in force: so that losing the policy's file loosens nothing.

It is kept in the catalogue, and once more as a file, from which a lost catalogue is rebuilt.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.catalogue.content import encode, readable
from tritonpm.core.files import read_state, write_atomically

if TYPE_CHECKING:
    from tritonpm.catalogue.database import Database
    from tritonpm.catalogue.workspace import Workspace


@dataclass(frozen=True)
class AttestationRequirement:
    """Digests of who was trusted, the least agreement (0 to 1) and the release that were asked for."""

    keys: tuple[str, ...]
    agreement: float = 0.0
    release: str = ""  # "": any
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyRequirement:
    """Digests of the keys and certificates that counted; `signature` is False where none was asked for."""

    signature: bool
    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    attestation: AttestationRequirement | None = None

    @property
    def anything(self) -> bool:
        """Whether packages had to be signed or attested."""
        return self.signature or self.attestation is not None

    def trusts(self, other: PolicyRequirement) -> bool:
        """Whether who is trusted by `other` is trusted here too, wherever this one asks for somebody."""
        mine, others = self.attestation, other.attestation
        return (not self.signature or _among(other, self)) and (not mine or not others or _among(others, mine))

    def is_met_by(self, other: PolicyRequirement) -> bool:
        """Whether `other` asks for no less."""
        mine, others = self.attestation, other.attestation
        if self.signature and not other.signature:
            return False
        if mine is None:
            return True
        return others is not None and others.agreement >= mine.agreement and mine.release in ("", others.release)


def _among(
    ours: PolicyRequirement | AttestationRequirement, theirs: PolicyRequirement | AttestationRequirement
) -> bool:
    """Whether all keys and certificates of the one are also the other's."""
    return set(ours.keys) <= set(theirs.keys) and set(ours.certificates) <= set(theirs.certificates)


UNKNOWN = PolicyRequirement(
    signature=True
)  # of a record that cannot be read: something was required, and nobody is trusted


class RememberedPolicy:
    """The memory of one catalogue."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        self._database, self._file = database, workspace.remembered_policy

    def get(self) -> PolicyRequirement | None:
        """What was required last; None where no policy ever was there."""
        row = self._database.one("SELECT requirement FROM policy")
        return readable(row[0], PolicyRequirement) or UNKNOWN if row else None

    def put(self, requirement: PolicyRequirement) -> None:
        """Remember what is required from now on. Raises StorageError, BusyError: it is not remembered."""
        content = encode(requirement)
        with self._database.transaction():
            self._database.do("INSERT OR REPLACE INTO policy (id, requirement) VALUES (1, ?)", content)
            write_atomically(self._file, content)

    def restore(self, lost: Path) -> None:
        """Into a new catalogue, from the one that is `lost` or the file; rot is no leave to let everything in."""
        content = _kept(lost)
        if content is None:
            try:
                content = read_state(self._file)
            except FileNotFoundError:
                if not self._file.is_symlink():
                    return
            except OSError:
                pass
        self.put(readable(content, PolicyRequirement) or UNKNOWN)


def _kept(database: Path) -> bytes | None:
    """What a catalogue says that may be corrupt elsewhere, or older than this memory."""
    if not database.is_file():
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as old:
        row = old.execute("SELECT requirement FROM policy").fetchone()
        return bytes(row[0]) if row and isinstance(row[0], bytes) else None
    return None

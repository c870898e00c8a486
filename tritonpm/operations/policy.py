"""`tritonpm policy`: what may come into a workspace: `policy.yaml` beside its repository, read at every import.

require-signature:
  keys: [line.pub]               # beside this file; any one of them
  certificates: [vision-ca.pem]  # or a certificate that these vouch for
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tritonpm.catalogue import Workspace
from tritonpm.core.errors import ManifestError
from tritonpm.core.files import storage_error
from tritonpm.registry.signing import Trust, require_zip, signature_of, verify

_CORRECT = "correct the policy"


class _Trusted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[str] = []
    certificates: list[str] = []


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    require_signature: _Trusted | None = None


@dataclass(frozen=True)
class PolicyView:
    """What a policy says."""

    file: str
    signature: bool  # whether one is required
    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What a workspace asks of packages; `trust` is None where they need no signature."""

    file: str
    trust: Trust | None = None

    def view(self) -> PolicyView:
        """The policy for people and programs."""
        trust = self.trust or Trust()
        paths = [tuple(map(str, trusted)) for trusted in (trust.keys, trust.certificates)]
        return PolicyView(self.file, self.trust is not None, *paths)


def read(workspace: Workspace) -> Policy:
    """The policy in force. Raises ManifestError: a policy that cannot be read lets nothing in."""
    from tritonpm.package.document import load
    from tritonpm.package.limits import Limits

    path = workspace.policy
    if not path.exists():
        return Policy(str(path))
    try:
        document = load(path.read_bytes(), str(path), Limits())
        required = msgspec.convert(document or {}, _Document).require_signature
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at ")
        raise ManifestError([(place.strip("`$."), sentence)], where=str(path), do=_CORRECT) from None
    except OSError as error:
        raise ManifestError([("", f"cannot be read ({error.strerror})")], where=str(path), do=_CORRECT) from None
    if required is None:
        return Policy(str(path))
    trust = Trust(
        tuple(path.parent / key for key in required.keys), tuple(path.parent / c for c in required.certificates)
    )
    if trust == Trust():
        raise ManifestError([("require-signature", "names no key and no certificate")], where=str(path), do=_CORRECT)
    return Policy(str(path), trust)


@contextmanager
def admitted(workspace: Workspace, source: Path) -> Iterator[Path]:
    """What may be read in place of `source`: itself, or where signatures are wanted a copy that was found signed.

    Nobody else can change the copy between the check and the reading. Raises SignatureError, ManifestError.
    """
    trust = read(workspace).trust
    if trust is None:
        yield source
        return
    require_zip(source)
    with workspace.scratch("signed") as folder:
        copy = folder / source.name
        try:
            shutil.copyfile(source, copy)
            if signature_of(source).is_file():
                shutil.copyfile(signature_of(source), signature_of(copy))
        except OSError as error:
            raise storage_error(error, copy) from None
        verify(copy, trust)
        yield copy

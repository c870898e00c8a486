"""`tritonpm policy`: what may come into a workspace: `policy.yaml` beside its repository, read at every import.

require-signature:
  keys: [line.pub]               # beside this file; any one of them
  certificates: [vision-ca.pem]  # or a certificate that these vouch for
require-attestation:
  keys: [line.pub]               # who may attest; certificates, too
  agreement: 0.99                # with the original, of every model
  release: "26.06"               # of the Triton that it was proved on

What was required once is remembered in the catalogue. A policy that is gone, says less or trusts somebody else lets
nothing in before an administrator says so: `tritonpm policy set`, `tritonpm policy clear`.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from tritonpm.catalogue import lock
from tritonpm.catalogue.remembered_policy import AttestationRequirement, PolicyRequirement
from tritonpm.core.errors import (
    BusyError,
    ManifestError,
    NotFoundError,
    PackageError,
    StorageError,
    UsageError,
    in_place_of,
)
from tritonpm.core.files import digest_of_bytes, storage_error, write_atomically
from tritonpm.operations.audit import audited
from tritonpm.registry import BESIDE, beside
from tritonpm.registry.attestation import AttestationPolicy, require_attested
from tritonpm.registry.signing import MOST_OF_A_KEY, Trust, require_zip, verify

if TYPE_CHECKING:
    from tritonpm.operations.context import Context

_CORRECT = "correct the policy (`tritonpm schema policy` prints what it may hold)"
_CLEAR = "`tritonpm policy clear` if packages no longer need a signature or an attestation"
_NEIGHBOUR = re.compile(r"\W*polic(y|ies)(\W*(ya?ml|json|toml)(\W*\w*)?)?\W*")
_ALIKE = 0.85  # of two names, by difflib: a letter is missing, or two are exchanged; oidc.yaml is another name


class TrustedFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files beside the policy; a signature by any one of them is enough."""

    keys: list[str] = []
    certificates: list[str] = []


class AttestationDocument(TrustedFiles, frozen=True, forbid_unknown_fields=True):
    """Whose attestations count, and what they must say at least."""

    agreement: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    release: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{2}\.[0-9]{2})?$")] = ""


class PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """policy.yaml as it is written; it requires something."""

    require_signature: TrustedFiles | msgspec.UnsetType = msgspec.UNSET
    require_attestation: AttestationDocument | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class AttestationView:
    """What a policy asks of attestations: whose count, the least agreement, the Triton release ("": any)."""

    keys: tuple[str, ...]
    agreement: float
    release: str
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyView:
    """What a policy says."""

    file: str
    signature: bool  # whether one is required
    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    attestation: AttestationView | None = None


@dataclass(frozen=True)
class Policy:
    """What a workspace asks of packages; `trust` is None where they need no signature, `attestation` where none."""

    file: str
    trust: Trust | None = None
    attestation: AttestationPolicy | None = None

    def view(self) -> PolicyView:
        """The policy for people and programs."""
        keys, certificates = _names(self.trust or Trust())
        attestation = None
        if asked := self.attestation:
            own = _names(asked.trust)
            attestation = AttestationView(own[0], asked.agreement, asked.release, own[1])
        return PolicyView(self.file, self.trust is not None, keys, certificates, attestation)


def read(context: Context) -> Policy:
    """The policy in force, which is remembered. Where it cannot be read or is weaker than it was, nothing comes in.

    Raises ManifestError, PackageError, UsageError (a key cannot be read).
    """
    path, last = context.workspace.policy, context.catalogue.policy.get()
    if not os.path.lexists(path):
        _require_none_meant(context, last)
        return Policy(str(path))
    policy = _policy(path)
    requirement, meant = _requirement(policy), f"`tritonpm policy set {path.name}` if that is intended"
    if last and not last.trusts(requirement):
        what = "trusts keys or certificates that it did not trust before, or theirs were exchanged"
        raise PackageError(what, where=str(path), do=meant)
    if last and not last.is_met_by(requirement):
        raise PackageError("requires less than it did before", where=str(path), do=meant)
    if requirement != last:
        with suppress(StorageError, BusyError):  # who may only read, or finds the disk full, is held to it all the same
            context.catalogue.policy.put(requirement)
    return policy


@audited("policy set", "file")
def set_policy(context: Context, file: Path) -> Policy:
    """Put `file` into force, whatever was required before. Raises as `read`; NotFoundError where there is no such file.

    The keys that it names stay where they are.
    """
    path = context.workspace.policy
    if not file.exists():
        raise NotFoundError("there is no such file", where=str(file), do="check the path")
    policy = replace(_policy(file), file=str(path))
    with lock(context.workspace, "policy set", waiting=context.warn):
        if file.parent.resolve() != path.parent:
            write_atomically(path, _document(policy))
        elif file.name != path.name:
            write_atomically(path, file.read_bytes())
        context.catalogue.policy.put(_requirement(policy))
    return policy


@audited("policy clear")
def clear_policy(context: Context) -> None:
    """Require nothing any more; policy.yaml is deleted. Raises StorageError."""
    path = context.workspace.policy
    with lock(context.workspace, "policy clear", waiting=context.warn):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from None
        context.catalogue.policy.put(PolicyRequirement(signature=False))


@contextmanager
def admitted(context: Context, source: Path) -> Iterator[Path]:
    """What may be read in place of `source`: itself, or where there is a policy a copy that was found to fulfil it.

    Nobody else can change the copy between the check and the reading; errors name `source`.
    Raises SignatureError, and what `read` does.
    """
    policy = read(context)
    if policy.trust is None and policy.attestation is None:
        yield source
        return
    require_zip(source)
    with context.workspace.scratch("signed") as folder:
        copy = folder / source.name
        _copied(source, copy)
        with in_place_of(str(copy), str(source)):
            if policy.trust:
                verify(copy, policy.trust)
            if policy.attestation:
                require_attested(copy, policy.attestation)
            yield copy


def _copied(source: Path, copy: Path) -> None:
    try:
        shutil.copyfile(source, copy)
        for kind in BESIDE:
            if beside(source, kind).is_file():
                shutil.copyfile(beside(source, kind), beside(copy, kind))
    except OSError as error:
        raise storage_error(error, source) from None


def _policy(path: Path) -> Policy:
    """What a policy requires: something, or it is no policy. Raises ManifestError."""
    document, folder = _read_document(path), path.absolute().parent
    signature, attestation = document.require_signature, document.require_attestation
    trust = asked = None
    if not isinstance(signature, msgspec.UnsetType):
        trust = _trust(signature, folder)
    if not isinstance(attestation, msgspec.UnsetType):
        asked = AttestationPolicy(_trust(attestation, folder), attestation.agreement, attestation.release)
    required = {"require-signature": trust, "require-attestation": asked and asked.trust}
    without = [key for key, whose in required.items() if whose == Trust()]
    if without or (trust is None and asked is None):
        problems = [(key, "names no key and no certificate") for key in without or ["require-signature"]]
        raise ManifestError(problems, where=str(path), do=_CORRECT)
    return Policy(str(path), trust, asked)


def _trust(files: TrustedFiles, folder: Path) -> Trust:
    return Trust(*(tuple(folder / name for name in names) for names in (files.keys, files.certificates)))


def _names(trust: Trust) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of its keys, and of its certificates."""
    return tuple(map(str, trust.keys)), tuple(map(str, trust.certificates))


def _read_document(path: Path) -> PolicyDocument:
    from tritonpm.package.document import load
    from tritonpm.package.limits import Limits

    limits = Limits()
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            path.stat()
            raise ManifestError([("", "cannot be read (it is not a file)")], where=str(path), do=_CORRECT)
        with path.open("rb") as stream:
            document = load(stream.read(limits.manifest + 1), str(path), limits)
        if document is None:
            what = "is empty: write `require-signature: {keys: [release.pem]}`"
            raise ManifestError([("", what)], where=str(path), do=_CORRECT)
        return msgspec.convert(document, PolicyDocument)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at ")
        raise ManifestError([(place.strip("`$."), sentence)], where=str(path), do=_CORRECT) from None
    except ManifestError as error:
        raise ManifestError(error.problems, where=str(path), do=_CORRECT) from None
    except OSError as error:
        raise ManifestError([("", f"cannot be read ({error.strerror})")], where=str(path), do=_CORRECT) from None


def _requirement(policy: Policy) -> PolicyRequirement:
    """By content: a key in another file is the same key, and another key in the same file is another."""
    attestation = None
    if asked := policy.attestation:
        keys, certificates = _digests(asked.trust)
        attestation = AttestationRequirement(keys, asked.agreement, asked.release, certificates)
    return PolicyRequirement(policy.trust is not None, *_digests(policy.trust or Trust()), attestation)


def _digests(trust: Trust) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of its keys, and of its certificates."""
    return tuple(map(_digest, trust.keys)), tuple(map(_digest, trust.certificates))


def _digest(key: Path) -> str:
    try:
        if not key.is_file():
            key.stat()
            raise UsageError("cannot be read (it is not a file)", where=str(key), do="check the path")
        with key.open("rb") as stream:
            content = stream.read(MOST_OF_A_KEY + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot be read ({why})", where=str(key), do="check the path") from None
    if len(content) > MOST_OF_A_KEY:
        raise UsageError("is too long for a key", where=str(key), do="check the path")
    return digest_of_bytes(content)


def _document(policy: Policy) -> bytes:
    """A policy that requires the same wherever it lies."""
    from tritonpm.package.document import dump

    document: dict[str, dict[str, object]] = {}
    if policy.trust:
        document["require-signature"] = _written(policy.trust)
    if asked := policy.attestation:
        more = {"agreement": asked.agreement, "release": asked.release}
        document["require-attestation"] = _written(asked.trust) | more
    return dump(document).encode()


def _written(trust: Trust) -> dict[str, object]:
    keys, certificates = _names(trust)
    return {"keys": list(keys), "certificates": list(certificates)}


def _require_none_meant(context: Context, last: PolicyRequirement | None) -> None:
    """Raise where there was a policy, or seems to be one: nobody loses it by losing a file, or by a typing error."""
    path = context.workspace.policy
    alike = _alike(path)
    named = f"; {' and '.join(alike)} beside it {'is' if len(alike) == 1 else 'are'} not read" if alike else ""
    if last and last.anything:
        what = "signatures" if last.signature else "attestations"
        raise PackageError(
            f"is missing, and {what} were required{named}", where=str(path), do=f"put it back, or {_CLEAR}"
        )
    if alike and last is None:
        raise PackageError(f"is not there{named}", where=str(path), do=f"give it this name, or {_CLEAR}")


def _alike(path: Path) -> list[str]:
    """The files beside `path` whose names say that they are meant to be it."""
    try:
        beside = sorted(entry.name for entry in os.scandir(path.parent) if not entry.is_dir())
    except OSError:
        return []
    plain = {name: unicodedata.normalize("NFKC", name).casefold() for name in beside}
    return [
        name
        for name, shown in plain.items()
        if _NEIGHBOUR.fullmatch(shown) or difflib.SequenceMatcher(None, path.name, shown).ratio() >= _ALIKE
    ]

"""What proves a package, told by who saw it: in-toto statements in DSSE envelopes, `<file>.att` beside the .zip.

Each line is a sigstore bundle of one statement about one .zip, named by its digest. It is signed as packages are, with
a key or a certificate; no service is asked. Source: in-toto attestation v1, DSSE v1, sigstore bundle v0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tritonpm.core.errors import SignatureError
from tritonpm.core.extras import needed
from tritonpm.core.files import digest_of, write_atomically
from tritonpm.core.units import MIB
from tritonpm.registry import ATTESTATION, beside
from tritonpm.registry.signing import Signer, Trust, signed_payloads, signed_statement

PREDICATE_TYPE = "urn:tritonpm:attestation:proof:1"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_ASK = "ask who published it for its attestation"
_MOST, _LINES = MIB, 64  # bytes, and attestations of one package that are looked at


@dataclass(frozen=True)
class ProvedStage:
    """How one model was proved; "" is the whole of a cascade.

    `agreement` is the least of what was measured (the share of equal classes, of equal objects, cosines), 0 to 1, None
    where it was compared with nothing. `noticed` of `tried` damages would have been noticed on the `inputs`, a digest.
    """

    stage: str
    optimizer: str
    precision: str
    state: str
    agreement: float | None = None
    tolerance: Mapping[str, float] = field(default_factory=dict)
    noticed: int = 0
    tried: int = 0
    inputs: str = ""


@dataclass(frozen=True)
class ProofRecord:
    """What was seen of a package: `content` is its digest, `revision` that of what served, on which release.

    `agreement` is the least of the stages', None where one has none.
    """

    package: str
    version: str
    content: str
    revision: str
    release: str
    server: str
    probe: str
    agreement: float | None
    stages: tuple[ProvedStage, ...]


@dataclass(frozen=True)
class AttestationPolicy:
    """Whose attestations count, and what one must say: at least that agreement, of that release ("": any)."""

    trust: Trust
    agreement: float = 0.0
    release: str = ""


class _Subject(msgspec.Struct, frozen=True):
    """What a statement is about."""

    name: str
    digest: Mapping[str, str]


class _Statement(msgspec.Struct, frozen=True):
    """An in-toto statement."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: msgspec.Raw


def attest(package: Path, record: ProofRecord, signer: Signer) -> Path:
    """Write what is attested of a .zip beside it, in place of what was there. Raises UsageError for a bad key."""
    with needed("an attestation", "registry"):
        from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
        from in_toto_attestation.v1.statement import Statement
    subject = ResourceDescriptor(package.name, digest={"sha256": digest_of(package).removeprefix("sha256:")})
    statement = Statement([subject.pb], PREDICATE_TYPE, msgspec.to_builtins(record))
    write_atomically(beside(package, ATTESTATION), signed_statement(statement, signer))
    return beside(package, ATTESTATION)


def require_attested(package: Path, policy: AttestationPolicy) -> ProofRecord:
    """What is attested of a .zip, and enough. Raises as `attested`, SignatureError where none says enough."""
    reason, do = "", ""
    for record in attested(package, policy.trust):
        do = "load it that way, and push it again with --attest"
        if policy.release not in ("", record.release):
            was = f"Triton {record.release}" if record.release else f"a server of version {record.server}"
            reason = f"was proved on {was}, and Triton {policy.release} is required"
        elif policy.agreement and record.agreement is None:
            reason = "is attested without an agreement, since its samples do not say what is expected"
            do = "have samples with outputs put into it, and have it pushed again with --attest"
        elif record.agreement is not None and not record.agreement >= policy.agreement:
            reason = f"agrees with the original by {record.agreement:.4g}, and {policy.agreement:g} is required"
        else:
            return record
    raise SignatureError(reason, where=str(package), do=do)


def attested(package: Path, trust: Trust) -> list[ProofRecord]:
    """What those who are trusted have attested of this very .zip.

    Raises SignatureError where that is nothing, and says why; UsageError for a key that cannot be read.
    """
    file = beside(package, ATTESTATION)
    if not file.is_file():
        raise SignatureError("has no attestation", where=str(package), do=f"put its {file.name} beside it")
    if file.stat().st_size > _MOST:
        raise SignatureError("has attestations that are too long", where=str(package), do=_ASK)
    digest, records, reason = digest_of(package).removeprefix("sha256:"), [], "is attested by no trusted signer"
    for payload in signed_payloads(file.read_bytes().splitlines()[:_LINES], trust):
        try:
            statement = msgspec.json.decode(payload, type=_Statement)
            if (statement.type_, statement.predicate_type) != (_STATEMENT_TYPE, PREDICATE_TYPE):
                continue
            record = msgspec.json.decode(statement.predicate, type=ProofRecord, strict=False)  # 32 is signed as 32.0
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if digest in (subject.digest.get("sha256") for subject in statement.subject):
            records.append(record)
        else:
            reason = "has an attestation for other content"
    if not records:
        raise SignatureError(reason, where=str(package), do=_ASK)
    return records

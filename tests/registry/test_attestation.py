"""What is attested of a package, and every way in which it is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sigstore import dsse
from sigstore_models.bundle.v1 import Bundle

from tests.support.fetching import written
from tests.support.keys import certified, private_key, signer
from tritonpm.core.errors import SignatureError, UsageError
from tritonpm.registry import SIGNATURE, beside
from tritonpm.registry.attestation import (
    PREDICATE_TYPE,
    AttestationPolicy,
    ProofRecord,
    ProvedStage,
    attest,
    attested,
    require_attested,
)
from tritonpm.registry.signing import Signer, Trust, sign

STAGE = ProvedStage("detect", "openvino", "FP16", "verified", 0.995, {"cosine": 0.999}, 32, 32, "sha256:" + "1" * 64)
RECORD = ProofRecord(
    "bolts", "1.0", "sha256:" + "2" * 64, "3" * 64, "26.06", "2.70.0", "answered 1 sample", 0.995, (STAGE,)
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package, and who is trusted: line.pem with line.pub."""
    written(tmp_path / "bolts.zip")
    private_key(tmp_path, "line")
    return tmp_path / "bolts.zip"


def policy(package: Path, agreement: float = 0.99, release: str = "26.06") -> AttestationPolicy:
    return AttestationPolicy(Trust((package.with_name("line.pub"),)), agreement, release)


def bundle(package: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(beside(package, ".att").read_bytes())
    return told


def put(package: Path, *bundles: object) -> None:
    lines = (text if isinstance(text, str) else json.dumps(text) for text in bundles)
    beside(package, ".att").write_text("\n".join(lines))


def signed(package: Path, record: ProofRecord = RECORD, key: str = "line") -> Path:
    return attest(package, record, Signer(package.with_name(f"{key}.pem")))


def test_what_is_attested_is_read_again(package: Path) -> None:
    assert signed(package).name == "bolts.zip.att"
    assert attested(package, Trust((package.with_name("line.pub"),))) == [RECORD]
    assert require_attested(package, policy(package)) == RECORD
    assert require_attested(package, policy(package, 0.0, "")) == RECORD


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_every_curve(package: Path, monkeypatch: pytest.MonkeyPatch, curve: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    from tests.support import keys

    monkeypatch.setattr(keys.ec, "SECP256R1", getattr(ec, curve))
    private_key(package.parent, "line")
    signed(package)
    assert require_attested(package, policy(package)) == RECORD


def test_others_read_it(package: Path) -> None:
    """sigstore's own library finds the signature right, and an in-toto statement in it."""
    signed(package)
    read = Bundle.from_json(beside(package, ".att").read_bytes())
    envelope = dsse.Envelope._from_json(json.dumps(bundle(package)["dsseEnvelope"]).encode())
    key: Any = load_pem_public_key(package.with_name("line.pub").read_bytes())
    statement = dsse.Statement(dsse._verify(key, envelope))
    assert statement._inner.predicate_type == PREDICATE_TYPE
    assert read.dsse_envelope is not None
    assert read.dsse_envelope.payload_type == "application/vnd.in-toto+json"


def forged(package: Path) -> None:
    told = bundle(package)
    statement = json.loads(base64.b64decode(told["dsseEnvelope"]["payload"]))
    statement["predicate"]["agreement"] = 1.0
    told["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    put(package, told)


def of_another_kind(package: Path) -> None:
    told = bundle(package)
    told["dsseEnvelope"]["payloadType"] = "application/json"
    put(package, told)


def unsigned(package: Path) -> None:
    told = bundle(package)
    told["dsseEnvelope"]["signatures"] = []
    put(package, told)


def by_somebody_else(package: Path) -> None:
    private_key(package.parent, "other")
    signed(package, key="other")


def under_the_trusted_name(package: Path) -> None:
    """Somebody else's signature that says the trusted key's name of itself."""
    name = bundle(package)["dsseEnvelope"]["signatures"][0]["keyid"]
    by_somebody_else(package)
    told = bundle(package)
    told["dsseEnvelope"]["signatures"][0]["keyid"] = name
    put(package, told)


def a_signature_replayed(package: Path) -> None:
    """The same key has signed the package, which is a statement too, and says nothing of a proof."""
    sign(package, signer(package.parent, "line"))
    beside(package, ".att").write_bytes(beside(package, SIGNATURE).read_bytes())


def of_another_content(package: Path) -> None:
    written(package, "1.1")


def nested(package: Path) -> None:
    put(package, "[" * 100_000)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda package: beside(package, ".att").unlink(), r"has no attestation; put its bolts\.zip\.att"),
    "forged": (forged, "by no trusted signer"),
    "another payload type": (of_another_kind, "by no trusted signer"),
    "unsigned": (unsigned, "by no trusted signer"),
    "wrong signer": (by_somebody_else, "by no trusted signer"),
    "wrong signer, right name": (under_the_trusted_name, "by no trusted signer"),
    "for another digest": (of_another_content, "for other content"),
    "a signature replayed": (a_signature_replayed, "by no trusted signer"),
    "other release": (lambda p: signed(p, replace(RECORD, release="25.06")), "was proved on Triton 25.06, and Triton 26"),
    "no release": (lambda p: signed(p, replace(RECORD, release="")), "was proved on a server of version 2.70.0"),
    "weaker": (lambda p: signed(p, replace(RECORD, agreement=0.98)), "by 0.98, and 0.99 is required"),
    "nothing compared": (lambda p: signed(p, replace(RECORD, agreement=None)), "without an agreement"),
    "empty": (lambda package: put(package, ""), "by no trusted signer"),
    "a list": (lambda package: put(package, []), "by no trusted signer"),
    "nested": (nested, "by no trusted signer"),
    "bytes": (lambda package: beside(package, ".att").write_bytes(b"\xff\x00\n\xfe"), "by no trusted signer"),
    "long": (lambda package: put(package, "x" * (2 << 20)), "too long"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_what_does_not_count(package: Path, what: str) -> None:
    signed(package)
    change, words = CASES[what]
    change(package)
    with pytest.raises(SignatureError, match=words) as refused:
        require_attested(package, policy(package))
    assert refused.value.where == str(package)


def test_one_of_several_is_enough(package: Path) -> None:
    signed(package)
    good = bundle(package)
    private_key(package.parent, "other")
    signed(package, replace(RECORD, agreement=1.0), key="other")
    others = bundle(package)
    signed(package, replace(RECORD, agreement=0.5))
    put(package, others, "{}", bundle(package), good)
    assert require_attested(package, policy(package)) == RECORD


def test_a_key_that_is_none(package: Path) -> None:
    package.with_name("line.pem").write_text("no key")
    with pytest.raises(UsageError, match="cannot be used as a key"):
        signed(package)
    private_key(package.parent, "line")
    signed(package)
    package.with_name("line.pub").write_text("no key")
    with pytest.raises(UsageError, match="cannot be used as a key"):
        require_attested(package, policy(package))


def test_a_certificate(package: Path) -> None:
    """Whom its authority vouches for; neither another authority, nor its key alone, nor a signature by another key."""
    folder = package.parent
    attest(package, RECORD, certified(folder, "vision"))
    certified(folder, "other")
    own = bundle(package)
    assert require_attested(package, vouched(folder, "other-ca.crt", "vision-ca.crt")) == RECORD
    material = own["verificationMaterial"]
    (leaf, *_) = material.pop("x509CertificateChain")["certificates"]
    put(package, own | {"verificationMaterial": material | {"certificate": leaf}})  # as cosign writes it
    assert require_attested(package, vouched(folder, "vision-ca.crt")) == RECORD
    for trust in (vouched(folder, "other-ca.crt"), AttestationPolicy(Trust((folder / "vision.pub",)))):
        with pytest.raises(SignatureError, match="by no trusted signer"):
            require_attested(package, trust)
    signed(package)
    put(package, bundle(package) | {"verificationMaterial": material | {"certificate": leaf}})
    with pytest.raises(SignatureError, match="by no trusted signer"):
        require_attested(package, vouched(folder, "vision-ca.crt"))


def vouched(folder: Path, *names: str) -> AttestationPolicy:
    return AttestationPolicy(Trust((), tuple(folder / name for name in names)))

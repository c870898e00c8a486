"""Packages are signed as they are handed over, as a .zip; the signature, a sigstore bundle, is `<file>.sig` beside it.

Keys are elliptic curve keys in PEM files (P-256, P-384, P-521); a certificate may stand for one. OpenSSF's
model-signing makes and checks the signatures; no service is asked.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm.core.errors import NotFoundError, PackageError, SignatureError, UsageError
from tritonpm.core.extras import needed
from tritonpm.core.files import digest_of, replacing
from tritonpm.core.units import MIB
from tritonpm.registry import SIGNATURE, beside

if TYPE_CHECKING:
    from in_toto_attestation.v1.statement import Statement
    from model_signing import signing, verifying

STATEMENT_TYPE = "application/vnd.in-toto+json"  # of what a bundle signs
_MOST = MIB  # bytes of a signature
MOST_OF_A_KEY = MIB  # bytes of a key, or of certificates
_ASK = "ask who signed it"
_PACKED = "pack it as a .zip and sign that"


@dataclass(frozen=True)
class Signer:
    """Who signs: a private key, and the certificate that stands for it where there is one."""

    key: Path
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Trust:
    """Whose signatures count: public keys, and the certificates of who may vouch for others."""

    keys: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Signed:
    """A package and its signature; `by` is the key, or the certificates, that it was made or checked with."""

    package: str
    signature: str
    digest: str
    by: str


def signature_of(package: Path) -> Path:
    """Where a package's signature lies."""
    return beside(package, SIGNATURE)


def sign(package: Path, signer: Signer, *, force: bool = False) -> Signed:
    """Sign a .zip. Raises UsageError for a key that does not do, NotFoundError, PackageError."""
    require_zip(package)
    target = signature_of(package)
    if target.exists() and not force:
        raise PackageError("it is signed already", where=str(target), do="use --force to sign it again")
    config = _signing(signer)
    with replacing(target) as aside:
        config.sign(package, aside)
    return Signed(str(package), str(target), digest_of(package), str(signer.certificate or signer.key))


def verify(package: Path, trust: Trust) -> Signed:
    """By whom a .zip was signed, of those who are trusted; nothing of it is parsed. Raises SignatureError."""
    require_zip(package)
    signature = signature_of(package)
    if not signature.is_file():
        raise SignatureError("is not signed", where=str(package), do=f"put its {signature.name} beside it")
    if signature.stat().st_size > _MOST:
        raise SignatureError("has a signature that is too long", where=str(package), do=_ASK)
    for by, config in _verifying(trust):
        with _counting() as counted:
            config.verify(package, signature)
        if counted:
            return Signed(str(package), str(signature), digest_of(package), by)
    raise SignatureError("is signed by no trusted signer, or was changed since", where=str(package), do=_ASK)


def require_zip(package: Path) -> None:
    """Raise where a package is no .zip: of a bare model or a folder, a signature cannot say what belongs to it."""
    if package.is_dir() or (package.exists() and package.suffix.lower() != ".zip"):
        raise SignatureError("only a .zip can be signed", where=str(package), do=_PACKED)
    if not package.is_file():
        raise NotFoundError("there is no such file", where=str(package), do="check the path")


def signed_statement(statement: Statement, signer: Signer) -> bytes:
    """An in-toto statement, signed as packages are: a sigstore bundle. Raises UsageError for a bad key."""
    document: str = _signing(signer)._signer.sign(_Payload(statement)).bundle.to_json()
    return document.encode()


def signed_payloads(bundles: Iterable[bytes], trust: Trust) -> Iterator[bytes]:
    """The statements that somebody trusted has signed; bundles by others, and what is no bundle, are passed over."""
    checks = [config for _, config in _verifying(trust)]
    for bundle in bundles:
        for config in checks:
            with _counting() as counted:
                kind, payload = config._verifier._verify_signed_content(_read(bundle))
            if counted and kind == STATEMENT_TYPE:
                yield payload
                break


@dataclass(frozen=True)
class _Payload:
    """What the library's signers take."""

    statement: Statement


def _read(bundle: bytes) -> Any:
    """A bundle as the library takes it. Raises whatever it trips over."""
    from sigstore_models.bundle.v1 import Bundle

    document = json.loads(bundle)
    material = document["verificationMaterial"]
    material.setdefault("tlogEntries", [])
    if "publicKey" in material:
        material["publicKey"] = {"hint": None}  # each tool computes its own; the signature says whose it is
    if "certificate" in material:  # without its chain, as cosign writes it
        material["x509CertificateChain"] = {"certificates": [material.pop("certificate")]}
    return _library("_signing.sign_sigstore_pb").Signature(Bundle.from_dict(document))


@contextmanager
def _counting() -> Iterator[list[bool]]:
    """Filled where nothing is raised. The library takes a bundle apart unchecked: what it trips over does not count."""
    from cryptography.exceptions import InvalidSignature
    from OpenSSL.crypto import Error, X509StoreContextError

    broken = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
    counted: list[bool] = []
    try:
        with redirect_stdout(io.StringIO()):  # it prints its warnings
            yield counted
        counted.append(True)
    except (InvalidSignature, X509StoreContextError, Error, *broken):
        pass


def _signing(signer: Signer) -> signing.Config:
    config = _library("signing").Config()
    with reading_key(signer.key):
        if signer.certificate is None:
            return config.use_elliptic_key_signer(private_key=signer.key)
        return config.use_certificate_signer(
            private_key=signer.key, signing_certificate=signer.certificate, certificate_chain=signer.chain
        )


def _verifying(trust: Trust) -> Iterator[tuple[str, verifying.Config]]:
    """A check for each key, and one for all certificates, with what it is called."""
    verifying = _library("verifying")
    for key in trust.keys:
        with reading_key(key):
            config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        yield str(key), config
    if trust.certificates:
        names = ", ".join(map(str, trust.certificates))
        with reading_key(trust.certificates[0]):
            config = verifying.Config().use_certificate_verifier(certificate_chain=trust.certificates)
        yield names, config


def _library(name: str) -> Any:
    with needed("a signature", "registry"):
        return import_module(f"model_signing.{name}")


@contextmanager
def reading_key(key: Path) -> Iterator[None]:
    """Turn what reading a key raises into UsageError."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=str(key), do="check the path") from None
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm):
        do = "use an elliptic curve key without a password, and its own certificate (docs/registries.md)"
        raise UsageError("cannot be used as a key", where=str(key), do=do) from None

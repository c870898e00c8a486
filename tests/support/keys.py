"""Keys and certificates to sign with."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tritonpm.registry.signing import Signer


def private_key(folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
    """A new key as NAME.pem, and its public half as NAME.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return key


def signer(folder: Path, name: str) -> Signer:
    """Who signs with a new key."""
    private_key(folder, name)
    return Signer(folder / f"{name}.pem")


def certified(folder: Path, name: str) -> Signer:
    """Who signs with a certificate, NAME.crt, that NAME-ca.crt vouches for."""
    authority, key = private_key(folder, f"{name}-ca"), private_key(folder, name)
    root = _certificate(f"{name}-ca", authority, f"{name}-ca", authority, ca=True)
    leaf = _certificate(name, key, f"{name}-ca", authority, ca=False)
    for file, certificate in ((f"{name}-ca.crt", root), (f"{name}.crt", leaf)):
        (folder / file).write_bytes(certificate.public_bytes(Encoding.PEM))
    return Signer(folder / f"{name}.pem", folder / f"{name}.crt", (folder / f"{name}-ca.crt",))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    today = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + datetime.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        .sign(by, SHA256())
    )

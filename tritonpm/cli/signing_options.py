"""The options that say with which key a package is signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tritonpm.registry.signing import Signer


FILE = click.Path(path_type=Path)
KEY = click.option("--key", type=FILE, help="A PEM file with the private key to sign with.")
CERTIFICATE = click.option(
    "--certificate", type=FILE, help="A PEM file with the key's certificate, for verifying against a CA."
)
CHAIN = click.option(
    "--certificate-chain", "chain", type=FILE, multiple=True,
    help="A PEM file with a certificate of its CA (repeatable).",
)  # fmt: skip


def signer_of(key: Path | None, certificate: Path | None, chain: tuple[Path, ...]) -> Signer | None:
    """Who signs; None where no key is given. Raises UsageError."""
    from tritonpm.registry.signing import Signer

    if key is None:
        if certificate or chain:
            raise click.UsageError("--certificate and --certificate-chain go with --key")
        return None
    return Signer(key, certificate, chain)

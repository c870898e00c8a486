"""`tritonpm sign`: signs a package, or checks its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tritonpm.cli.app import App, command, pass_app, reading
from tritonpm.cli.output import echo
from tritonpm.cli.signing_options import CERTIFICATE, CHAIN, KEY, signer_of

FILE = click.Path(path_type=Path)


@command(
    "sign",
    examples="""
    tritonpm sign bolts.zip --key line.pem
    tritonpm sign bolts.zip --key me.pem --certificate me.crt --certificate-chain vision-ca.crt
    tritonpm sign bolts.zip --check --public-key line.pub
    tritonpm sign bolts.zip --check --certificate-chain vision-ca.crt
    """,
)
@click.argument("package", type=FILE)
@KEY
@CERTIFICATE
@CHAIN
@click.option(
    "--check", is_flag=True, help="Do not sign, but check the signature against the key or certificates that follow."
)
@click.option("--public-key", "public", type=FILE, multiple=True, help="A PEM file with a public key (repeatable).")
@click.option("--force", is_flag=True, help="Replace an existing signature.")
@reading
@pass_app
def sign_command(
    app: App, /, package: Path, check: bool, public: tuple[Path, ...], force: bool, **key_options: Any
) -> None:
    """Sign a package's .zip, or check its signature: PACKAGE.sig beside it."""
    from tritonpm.registry.signing import Trust, sign, verify

    if check:
        if not public and not key_options["chain"]:
            raise click.UsageError("--check needs --public-key or --certificate-chain")
        signed = verify(package, Trust(public, key_options["chain"]))
        app.emit("Signed", signed, lambda: echo(f"{package} is signed by {signed.by}."))
        return
    signer = signer_of(**key_options)
    if signer is None:
        raise click.UsageError("--key is missing")
    signed = sign(package, signer, force=force)
    app.emit("Signed", signed, lambda: echo(f"Signed {package}: {signed.signature}."))

"""Commands on registries and signatures: packages from elsewhere, to elsewhere, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.packages import PROFILE
from tritonpm.cli.revisions import say_switched
from tritonpm.cli.settings import setting_options

if TYPE_CHECKING:
    from tritonpm.registry.signing import Signer

FILE = click.Path(path_type=Path)
KEY = click.option("--key", type=FILE, help="PEM file of the private key to sign with.")
CERTIFICATE = click.option(
    "--certificate", type=FILE, help="PEM file of that key's certificate, to be checked instead."
)
CHAIN = click.option(
    "--certificate-chain", "chain", type=FILE, multiple=True,
    help="PEM file of who vouches for the certificate (repeatable).",
)  # fmt: skip


@command(
    "pull",
    examples="""
    tritonpm pull oci://registry.site/vision/bolts:1.2
    tritonpm pull https://files.site/bolts.zip --digest sha256:4f53…
    tritonpm pull s3://packages/bolts.zip --name bolts-line3
    tritonpm pull oci://registry.site/vision/bolts:1.3 --upgrade bolts
    """,
)
@click.argument("url")
@click.option("--digest", default="", metavar="sha256:…", help="Of the .zip; https:// needs it.")
@click.option("--name", help="The package's name [default: the manifest's].")
@click.option(
    "--upgrade", metavar="NAME", help="Put it in the place of a package that is there; live where it is loaded."
)
@click.option("--allow-code", is_flag=True, help="Accept content that runs code on load (model.py, *.so, engines).")
@PROFILE
@click.option("--ignore-requirements", is_flag=True, help="Import on a machine that only prepares packages.")
@setting_options
@on_a_server
@reading
@pass_app
def pull_command(app: App, /, url: str, digest: str, upgrade: str | None, **told: Any) -> None:
    """Fetch a package from oci://, https://, s3://, gs://, az:// or a folder, and import it."""
    from tritonpm.operations.pull import Sharing

    if upgrade:
        if told["name"] or told["changes"]:
            raise click.UsageError("--upgrade keeps the name and the settings: give it alone")
        switching = app.switching()
        sharing = Sharing(switching.manager)
        loaded = sharing.upgrade(switching, upgrade, url, digest=digest, allow_code=told["allow_code"])
        say_switched(app, upgrade, loaded)
        return
    view = Sharing(app.manager()).pull(url, digest=digest, **told)
    app.emit("Package", view, lambda: click.echo(f"Pulled {view.name} ({view.type}, {view.digest[:19]})."))
    for note in view.notes:
        app.advise(f"Note: {note}")


@command(
    "push",
    examples="""
    tritonpm push bolts oci://registry.site/vision/bolts:1.2 --key line.pem
    tritonpm push bolts s3://packages/
    tritonpm push bolts /srv/packages/bolts.zip
    """,
)
@click.argument("name", metavar="NAME")
@click.argument("url")
@KEY
@CERTIFICATE
@CHAIN
@click.option("--force", is_flag=True, help="Replace what is there under that address.")
@reading
@pass_app
def push_command(app: App, /, name: str, url: str, force: bool, **told: Any) -> None:
    """Put a package to oci://, s3://, gs://, az:// or a folder; it is signed on the way where a key is given."""
    from tritonpm.operations.pull import Sharing

    pushed = Sharing(app.manager()).push(name, url, signer=_signer(**told), force=force)
    signed = "signed, " if pushed.signed else ""
    app.emit("Pushed", pushed, lambda: click.echo(f"Pushed {name} to {pushed.url} ({signed}{pushed.digest})."))


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
@click.option("--check", is_flag=True, help="Do not sign: say whether it is signed by whom the next options name.")
@click.option("--public-key", "public", type=FILE, multiple=True, help="PEM file of a public key (repeatable).")
@click.option("--force", is_flag=True, help="Sign it again.")
@reading
@pass_app
def sign_command(app: App, /, package: Path, check: bool, public: tuple[Path, ...], force: bool, **told: Any) -> None:
    """Sign a package's .zip, or check its signature: PACKAGE.sig beside it."""
    from tritonpm.registry.signing import Trust, sign, verify

    if check:
        if not public and not told["chain"]:
            raise click.UsageError("--check needs --public-key or --certificate-chain")
        signed = verify(package, Trust(public, told["chain"]))
        app.emit("Signed", signed, lambda: click.echo(f"{package} is signed by {signed.by}."))
        return
    signer = _signer(**told)
    if signer is None:
        raise click.UsageError("--key is missing")
    signed = sign(package, signer, force=force)
    app.emit("Signed", signed, lambda: click.echo(f"Signed {package}: {signed.signature}."))


@command("policy", examples="tritonpm policy\ntritonpm policy -o json")
@reading
@pass_app
def policy_command(app: App) -> None:
    """Show what packages must be to come into this workspace: policy.yaml."""
    from tritonpm.cli.output import facts
    from tritonpm.operations.import_policy import read

    policy = read(app.manager().workspace).view()
    pairs = [("signature", "required" if policy.signature else "not required"), ("file", policy.file)]
    pairs += [("key", key) for key in policy.keys]
    pairs += [("certificate", each) for each in policy.certificates]
    app.emit("Policy", policy, lambda: facts(pairs))


def _signer(key: Path | None, certificate: Path | None, chain: tuple[Path, ...]) -> Signer | None:
    from tritonpm.registry.signing import Signer

    if key is None:
        if certificate or chain:
            raise click.UsageError("--certificate and --certificate-chain go with --key")
        return None
    return Signer(key, certificate, chain)

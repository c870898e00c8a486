"""`tritonpm push`: puts a package into a registry."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, on_a_server, pass_app, reading
from tritonpm.cli.completing import files
from tritonpm.cli.options import NAME
from tritonpm.cli.output import echo
from tritonpm.cli.signing_options import CERTIFICATE, CHAIN, KEY, signer_of

PACKAGE, MODELPACK, IMAGE = "package", "modelpack", "image"


@command(
    "push",
    examples="""
    tritonpm push bolts oci://registry.site/vision/bolts:1.2 --key line.pem
    tritonpm push bolts oci://registry.site/vision/bolts:1.2 --key line.pem --attest
    tritonpm push bolts oci://registry.site/vision/bolts:1.2 --key me.pem --certificate me.crt --attest
    tritonpm push bolts oci://registry.site/vision/bolts-pack:1.2 --form modelpack
    tritonpm push bolts oci://registry.site/serving/bolts:1.2 --form image
    tritonpm push bolts s3://packages/
    tritonpm push bolts /srv/packages/bolts.zip
    """,
)
@NAME
@click.argument("url", shell_complete=files)
@KEY
@CERTIFICATE
@CHAIN
@click.option(
    "--form",
    type=click.Choice([PACKAGE, MODELPACK, IMAGE]),
    default=PACKAGE,
    show_default=True,
    help="In an OCI registry: tritonpm's own artifact; a CNCF ModelPack, which KitOps and Docker can pull, too; "
    "or an image of the model repository, which KServe mounts.",
)
@click.option(
    "--attest",
    "attested",
    is_flag=True,
    help="Also push a signed attestation of its proof; the package must be loaded.",
)
@click.option("--force", is_flag=True, help="Replace what is at that address.")
@on_a_server
@reading
@pass_app
def push_command(app: App, /, name: str, url: str, force: bool, form: str, attested: bool, **keys: Any) -> None:
    """Push a package to oci://, s3://, gs://, az:// or a folder; with --key it is signed on the way."""
    from tritonpm.operations.push import push, push_image

    if form == IMAGE and (attested or keys["key"]):
        raise click.UsageError("an image is not signed here: `cosign sign` does it once it is pushed")
    with app.open() as context:
        if form == IMAGE:
            pushed = push_image(context, name, url, force=force)
        else:
            pushed = push(context, name, url, signer=signer_of(**keys), force=force, form=form, attested=attested)
    told = "".join(word for word, yes in (("signed, ", pushed.signed), ("attested, ", pushed.attested)) if yes)
    app.emit("Pushed", pushed, lambda: echo(f"Pushed {name} to {pushed.url} ({told}{pushed.digest})."))

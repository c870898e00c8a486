"""`tritonpm schema`: the JSON Schema of package.yaml."""

from __future__ import annotations

import click

from tritonpm.cli.app import command


@command("schema", examples="tritonpm schema > package.schema.json")
def schema_command() -> None:
    """Print the JSON Schema of package.yaml."""
    import json

    from tritonpm.package import manifest_schema

    click.echo(json.dumps(manifest_schema(), indent=2, ensure_ascii=False))

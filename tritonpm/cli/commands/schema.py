"""`tritonpm schema`: the JSON Schema of package.yaml."""

from __future__ import annotations

from tritonpm.cli.app import command
from tritonpm.cli.output import echo


@command("schema", examples="tritonpm schema > package.schema.json")
def schema_command() -> None:
    """Print the JSON Schema of package.yaml."""
    import json

    from tritonpm.package import manifest_schema

    echo(json.dumps(manifest_schema(), indent=2, ensure_ascii=False))

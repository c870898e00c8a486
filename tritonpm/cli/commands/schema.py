"""`tritonpm schema`: the JSON Schemas of what people write and of what commands print."""

from __future__ import annotations

import click

from tritonpm.cli.app import command
from tritonpm.cli.output import echo

# The kinds, which `operations/schema.py` knows too; that is imported when one is asked for.
_KINDS = ("package", "declaration", "policy", "envelope")


@command(
    "schema",
    examples="""
    tritonpm schema > package.schema.json
    tritonpm schema declaration > tritonpm.schema.json
    """,
)
@click.argument("kind", type=click.Choice(_KINDS), default=_KINDS[0])
def schema_command(kind: str) -> None:
    """Print the JSON Schema of a file that people write.

    `package` is for package.yaml, `declaration` for tritonpm.yaml, `policy` for policy.yaml, and `envelope` for what
    -o json prints.
    """
    import json

    from tritonpm.operations.schema import schema

    echo(json.dumps(schema(kind), indent=2, ensure_ascii=False))

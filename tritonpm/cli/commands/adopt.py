"""`tritonpm adopt`: a whole repository becomes packages."""

from __future__ import annotations

from typing import Any

import click

from tritonpm.cli.app import App, command, for_a_release, pass_app, reading
from tritonpm.cli.options import ALLOW_CODE, IGNORE_REQUIREMENTS
from tritonpm.cli.output import echo
from tritonpm.core.errors import PackageError
from tritonpm.core.units import number_of


@command(
    "adopt",
    examples="""
    tritonpm adopt /srv/model_repository
    tritonpm adopt model_repository --allow-code
    tritonpm adopt s3://http://minio.site:9000/models/line3
    """,
)
@click.argument("repository")
@ALLOW_CODE
@IGNORE_REQUIREMENTS
@for_a_release
@reading
@pass_app
def adopt_command(app: App, /, repository: str, **options: Any) -> None:
    """Adopt an existing Triton model repository: each model becomes a package, with its name and its own config.

    REPOSITORY is a folder or an object store, as Triton's --model-repository takes it (s3://, gs://, as://).
    """
    from tritonpm.operations.adopt import adopt

    with app.open() as context:
        models = adopt(context, repository, **options)

    def text() -> None:
        for model in models:
            of = f" (an ensemble of {', '.join(model.members)})" if model.members else ""
            echo(f"{model.name}{of}: {model.refused or 'adopted'}")

    app.emit("Adoption", models, text)
    for model in models:
        for note in model.notes:
            app.advise(f"Note: {model.name}: {note}")
    if refused := [model for model in models if model.refused]:
        raise PackageError(
            f"{number_of(len(refused), 'model')} of {len(models)} could not be adopted",
            where=repository,
            do="correct what is said above and adopt them again with `tritonpm import`",
        )

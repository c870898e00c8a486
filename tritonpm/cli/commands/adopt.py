"""`tritonpm adopt`: a whole repository becomes packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tritonpm.cli.app import App, command, for_a_release, on_its_server, pass_app, reading
from tritonpm.cli.completing import files
from tritonpm.cli.options import ALLOW_CODE, IGNORE_REQUIREMENTS
from tritonpm.cli.output import echo, table
from tritonpm.core.errors import PackageError
from tritonpm.core.units import number_of

if TYPE_CHECKING:
    from tritonpm.operations.in_place import ServerModels

CAN = "`tritonpm status`, `infer`, `client`, `perf run`, `load` and `unload` take their names"
CANNOT = "Settings, optimising, live switches, roll-backs, canaries, projects and drift"


@command(
    "adopt",
    examples="""
    tritonpm adopt /srv/model_repository
    tritonpm adopt model_repository --allow-code
    tritonpm adopt s3://http://minio.site:9000/models/line3
    tritonpm adopt http://triton.site:8000
    tritonpm adopt https://triton.site:8000 --server-token-file token --server-ca site.pem
    """,
)
@click.argument("repository", shell_complete=files)
@ALLOW_CODE
@IGNORE_REQUIREMENTS
@for_a_release
@on_its_server
@reading
@pass_app
def adopt_command(app: App, /, repository: str, **options: Any) -> None:
    """Adopt an existing Triton model repository: each model becomes a package, with its name and its own config.

    REPOSITORY is a folder or an object store, as Triton's --model-repository takes it (s3://, gs://, as://). If it is
    a server (http://, https://, grpc://), its models stay there; the command lists them and what can be done with them.
    """
    from tritonpm.operations.adopt import adopt
    from tritonpm.operations.in_place import is_server, models_of

    if is_server(repository):
        say_in_place(app, models_of(app.connection_to(repository)))
        return
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
            do="correct what is reported above and import them again with `tritonpm import`",
        )


def say_in_place(app: App, server: ServerModels) -> None:
    """What a server has, and what can be done with it."""

    def text() -> None:
        rows = [
            (model.name, ", ".join(model.versions) or "-", model.state, model.kind or "-", ", ".join(model.members))
            for model in server.models
        ]
        table(("MODEL", "VERSIONS", "STATE", "BACKEND", "MEMBERS"), rows)

    app.emit("ServerModels", server, text)
    app.advise(f"These models stay on {server.server}, since a server hands out no files. {CAN}, each with --server.")
    if server.refused:
        app.advise(f"The server does not allow loading and unloading ({server.refused}).")
    app.advise(f"{CANNOT} need the files: adopt the folder or store that the server reads (its --model-repository).")

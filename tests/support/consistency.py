"""What tests ask of a workspace: changes, and whether everything that it keeps agrees."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import until
from tests.support.workspaces import opened
from tritonpm.core.types import REVISION
from tritonpm.operations.context import Context
from tritonpm.operations.drift import drift
from tritonpm.operations.list import packages
from tritonpm.operations.local_repository import changing
from tritonpm.operations.optimize.jobs import start, to_optimise_for, watch
from tritonpm.operations.server import connect
from tritonpm.triton.connection import Connection


def optimised(context: Context, name: str, **changes: object) -> None:
    job = start(context, name, to_optimise_for(context, name, changes))
    assert job is not None
    watch(context, job.id)


def consistent(context: Context) -> None:
    """Catalogue, repository, blobs and staging say the same, once the children of what was killed have ended too."""

    def swept() -> bool:
        with changing(context, "look"):
            return list(context.workspace.staging.iterdir()) == []

    until(swept, "staging is empty")
    published = {model.name: model for revision in context.catalogue.published() for model in revision.models}
    folders = {path.name: path for path in context.workspace.repository.iterdir()}
    assert set(folders) == set(published)
    for name, model in published.items():
        assert {f.path for f in model.files} == {
            p.relative_to(folders[name]).as_posix() for p in folders[name].rglob("*") if p.is_file()
        }
        config = next(f.text for f in model.files if f.path == "config.pbtxt")
        assert (folders[name] / "config.pbtxt").read_text() == config
        assert REVISION in (config or "")
    for digest in context.catalogue.referenced_blobs():
        context.blobs.verify(digest)
    assert context.catalogue.open_intents() == []
    assert {p.stem for p in context.workspace.records.glob("*.json")} == {e.name for e in packages(context.catalogue)}


def impatient(root: Path, url: str) -> Context:
    """A workspace whose server is given up soon where it hangs."""
    return opened(root, server=Connection(url, timeout=0.5))


def apart(context: Context) -> list[str]:
    """Where the server does not do what was proved; not where something else is wanted meanwhile."""
    with connect(context) as client:
        return [sentence for sentence in drift(context, client) if "`tritonpm load" not in sentence]


def said(actions: object) -> list[tuple[str, str]]:
    return [(action.what, action.package) for action in actions]  # type: ignore[attr-defined]

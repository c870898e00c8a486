"""What tests ask of a manager: changes, and whether everything that it keeps agrees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonpm.operations.manager import Manager
from tritonpm.operations.serving import Serving
from tritonpm.operations.upkeep import drift
from tritonpm.repository.config import REVISION
from tritonpm.triton.client import Client, Connection


def optimised(manager: Manager, name: str, **changes: object) -> None:
    manager.optimising.choose(name, changes)
    job = manager.optimising.start(name)
    assert job is not None
    manager.optimising.watched(job.id)


def consistent(manager: Manager) -> None:
    """Catalogue, repository, blobs and staging say the same."""
    with manager.changing("look"):
        pass
    published = {model.name: model for revision in manager.catalogue.published() for model in revision.models}
    folders = {path.name: path for path in manager.workspace.repository.iterdir()}
    assert set(folders) == set(published)
    for name, model in published.items():
        assert {f.path for f in model.files} == {
            p.relative_to(folders[name]).as_posix() for p in folders[name].rglob("*") if p.is_file()
        }
        config = next(f.text for f in model.files if f.path == "config.pbtxt")
        assert (folders[name] / "config.pbtxt").read_text() == config
        assert REVISION in (config or "")
    for digest in manager.catalogue.referenced_blobs():
        manager.blobs.verify(digest)
    assert manager.catalogue.open_intents() == []
    assert list(manager.workspace.staging.iterdir()) == []
    assert {p.stem for p in manager.workspace.records.glob("*.json")} == {e.name for e in manager.packages()}


class Impatient(Serving):
    """Short time limits: what hangs is given up soon."""

    @contextmanager
    def client(self, protocol: str = "http", *, load_timeout: float = 3.0) -> Iterator[Client]:
        with super().client(protocol, load_timeout=min(3.0, load_timeout)) as client:
            yield client


def impatient(root: Path, url: str) -> Serving:
    return Impatient(Manager.open(root, server=Connection(url, timeout=0.5)))


def agreed(serving: Serving) -> list[str]:
    with serving.client() as client:
        return drift(serving.manager, client)


def said(actions: object) -> list[tuple[str, str]]:
    return [(action.what, action.package) for action in actions]  # type: ignore[attr-defined]

"""Model files by digest, and revisions made of them."""

from __future__ import annotations

from pathlib import Path

from tritonpm.core.errors import StorageError
from tritonpm.core.files import digest_of
from tritonpm.core.types import REVISION, RenderedModel, RepositoryFile, Revision


class Files:
    """Model files by digest, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def put(self, content: bytes) -> str:
        aside = self.folder / "new"
        aside.write_bytes(content)
        digest = digest_of(aside)
        aside.rename(self.folder / digest)
        return digest

    def path(self, digest: str) -> Path:
        return self.folder / digest

    def verify(self, digest: str) -> Path:
        if digest_of(self.path(digest)) != digest:
            raise StorageError(f"the blob {digest} has changed on the disk")
        return self.path(digest)


def model(files: Files, name: str, said: str, *contents: str) -> RenderedModel:
    parts = [RepositoryFile(f"1/part{i}", blob=files.put(each.encode() * 50)) for i, each in enumerate(contents)]
    text = f'name: "{name}"\nbackend: "b"\nparameters {{ key: "{REVISION}" value {{ string_value: "{said}" }} }}\n'
    return RenderedModel(
        name, (*parts, RepositoryFile("config.pbtxt", text=text), RepositoryFile("configs/cpu.pbtxt", text=text))
    )


def revision(files: Files, number: int) -> Revision:
    """Two members, one of which never changes, and a public model with files of its own."""
    said = str(number)
    models = (
        model(files, "a.000000000000", "fixed", "a"),
        model(files, f"b.{number:012}", said, said),
        model(files, "p", said, "always", said),
    )
    return Revision("p", f"{number:016}" * 4, models)

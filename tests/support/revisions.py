"""A revision whose files all say its number."""

from __future__ import annotations

from tritonpm.core.types import REVISION, RenderedModel, RepositoryFile, Revision


def revision(number: int) -> Revision:
    """Two members and their ensemble, all of whose files say `number`."""

    def model(name: str) -> RenderedModel:
        files = [RepositoryFile(f"1/part{i}", text=f"{number}") for i in range(5)]
        files += [RepositoryFile("1/model", blob="b"), RepositoryFile("config.pbtxt", text=f"# {REVISION} {number}")]
        return RenderedModel(name, tuple(files))

    return Revision("p", str(number), (model("p.a"), model("p.b"), model("p")))

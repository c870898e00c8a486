"""A workspace, one real server, and what can be seen of both without asking tritonpm what it believes."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.models import WIDTH, logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.waiting import until
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.errors import NotFoundError
from tritonpm.core.files import digest_of
from tritonpm.operations.init import init
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect, own_server
from tritonpm.package import read
from tritonpm.settings.settings import Settings

ONES = {"x": np.ones((1, WIDTH), np.float32)}
SINGLES = {"two": 2.0, "three": 3.0}
CASCADES = {"six": (2.0, 3.0), "fourteen": (2.0, 7.0), "thirty-five": (5.0, 7.0)}  # which share members
BAD = "not-a-number"  # loads well, and is found out by its answer
CONTENTS = (*SINGLES, *CASCADES, BAD)
FOREIGN = 'name: "theirs" # of somebody else\n'
KILL = "kill -9 of the"


@dataclass(frozen=True)
class Made:
    """What a revision is made of, and how it is known when it answers."""

    content: str
    batch: int
    precision: str

    @property
    def half(self) -> bool:
        """OpenVINO's models say nothing of their largest batch: it stays the first one."""
        return self.precision == "FP16"

    @property
    def good(self) -> bool:
        return self.content != BAD


class House:
    """What one run of the machine lives in; `counts` are its steps, by name."""

    def __init__(self, root: Path) -> None:
        (root / "sources").mkdir()
        self.sources = {
            **{name: single(root / "sources" / name, scaled(factor)) for name, factor in SINGLES.items()},
            **{
                name: cascade(root / "sources" / name, scaled(one, result="m"), scaled(two, source="m"))
                for name, (one, two) in CASCADES.items()
            },
            BAD: single(root / "sources" / BAD, logarithm()),
        }
        self.contents = dict(map(self._named, self.sources.items()))
        self.answers = {**SINGLES, **{name: one * two for name, (one, two) in CASCADES.items()}}
        init(root / "a workspace")
        self.context = opened(root / "a workspace")
        self.repository = self.context.workspace.repository
        self.counts: Counter[str] = Counter()
        self.examples = 0
        self.story: list[str] = []
        self.broken = False
        self.serve()

    def serve(self) -> None:
        serve(self.context, None, **QUICKLY)

    @staticmethod
    def _named(source: tuple[str, Path]) -> tuple[str, str]:
        with tempfile.TemporaryDirectory() as staging:
            return read(source[1], Path(staging), name="p").digest, source[0]

    def told(self) -> str:
        """What was done, and how often."""
        each = [f"{count} × {what}" for what, count in self.counts.most_common()]
        kills = sum(count for what, count in self.counts.items() if what.startswith(KILL))
        return f"{self.examples} examples, {kills} kills, nothing lost: {', '.join(each)}"

    # What the catalogue says

    def chosen(self, name: str) -> Made:
        record = self.context.catalogue.get(name)
        return self._made(record.package.digest, record.settings)

    def revisions(self, name: str) -> dict[int, Made]:
        history = self.context.catalogue.history(name)
        return {e.number: self._made(e.source.package.digest, e.source.settings) for e in history if e.source}

    def current(self, name: str) -> Made | None:
        number = self.context.catalogue.get(name).revision
        return None if number is None else self.revisions(name)[number]

    def proved(self, name: str) -> Made | None:
        """What a restart brings back, as the catalogue has it."""
        proved = self.context.catalogue.proved(name)
        return self.revisions(name)[proved.number] if proved else None

    def _made(self, digest: str, settings: Settings) -> Made:
        return Made(self.contents[digest], settings.max_batch_size, settings.precision)

    # What the server does

    def ready(self) -> set[str]:
        """What can be asked; not by the index, which leaves out what has no folder."""
        with connect(self.context) as client:
            return client.serving()

    def served(self, name: str) -> Made | None:
        with connect(self.context) as client:
            try:
                config, answer = client.config(name), client.infer(name, ONES)["y"]
            except NotFoundError:
                return None
        value = float(answer[0, 0])
        content = BAD if np.isnan(value) else next(c for c, known in self.answers.items() if known == value)
        if config.get("backend") == "openvino":
            return Made(content, Settings().max_batch_size, "FP16")
        return Made(content, int(config["max_batch_size"]), "FP32")

    def rested(self) -> None:
        """Wait until the server loads and unloads nothing any more, and no job works."""

        def moving() -> bool:
            with connect(self.context) as client:
                return any(state.state in ("LOADING", "UNLOADING") for state in client.index())

        until(lambda: not moving() and not self.context.catalogue.jobs.busy(), "it does not come to rest")

    def kill_server(self) -> None:
        server = own_server(self.context)
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)

    def server_gone(self) -> bool:
        server = own_server(self.context)
        return server is None or not server.alive

    # What lies on the disk

    def models(self, name: str) -> set[str]:
        revision = self.context.catalogue.revision(name)
        return {model.name for model in revision.models} if revision else set()

    def wrong_files(self) -> set[str]:
        """The published models whose folder is not, file for file, what the current revision says."""
        return {
            model.name
            for revision in self.context.catalogue.published()
            for model in revision.models
            if self._files(self.repository / model.name) != {f.path: f.blob or f.text for f in model.files}
        }

    @staticmethod
    def _files(folder: Path) -> dict[str, str]:
        found = (path for path in folder.rglob("*") if path.is_file())
        return {
            path.relative_to(folder).as_posix(): digest_of(path) if is_model(path) else path.read_text()
            for path in found
        }

    def blobs(self) -> Iterator[Path]:
        return self.context.blobs.root.glob("*/*")


def is_model(path: Path) -> bool:
    return path.suffix in (".onnx", ".xml", ".bin")

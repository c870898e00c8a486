"""What docs/scale.md calculates with: loads, memory, indexes, requests, placement, the catalogue.

    .venv/bin/python benchmarks/fleet.py

Needs the extras server, stores, examples and dev (moto is the S3 server whose requests are counted).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serving import machine
from examples.make_packages import make
from tests.support import s3
from tritonpm.fleet.context import Contexts, FleetContext, FleetServer
from tritonpm.fleet.placement import PackageNeed, Placement, Room, place
from tritonpm.operations.context import open_context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.reload import reload
from tritonpm.operations.remote_repository import publish
from tritonpm.triton import embedded
from tritonpm.triton.client import Client
from tritonpm.triton.processes import processes
from tritonpm.triton.served_revision import serves

RESULTS = Path(__file__).parent / "results" / "fleet.md"
SERVERS, PACKAGES, REPLICAS = 1_000, 100_000, 2
LOADS, COPIES = 10, 5
FOLDERS, OBJECTS = (10, 100, 1_000, 10_000), (10, 100, 300)
MIB = 1 << 20


def timed(work: Callable[[], object], times: int = 5) -> float:
    """The median, in seconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


@contextmanager
def served(folder: Path, repository: Path, *arguments: str) -> Iterator[embedded.Server]:
    """A server on a repository."""
    server = embedded.start(embedded.find(), repository, folder, arguments=arguments)
    try:
        yield server
    finally:
        embedded.stop(server, folder)


def loads(root: Path) -> Iterator[tuple[str, str]]:
    """Load, reload and look, and what each more package takes."""
    repository = root / "line" / "model_repository"
    with (
        served(root / "state", repository) as server,
        Client(server.http) as client,
        open_context(root / "line", server=server.http) as context,
    ):
        import_package(context, root / "packages" / "digits.zip")
        alone = sum(process.resident for process in processes(server))
        yield "resident memory of a server that has loaded nothing", f"{alone / MIB:.0f} MiB"
        first, reloads = [], []
        for _ in range(LOADS):
            first.append(timed(lambda: load(context, "digits"), 1))
            reloads.append(timed(lambda: reload(context, "digits"), 1))
            client.unload_and_wait("digits")
        yield "load of `digits` (19 KiB), with its proof", f"{statistics.median(first):.2f} s"
        yield "reload beside the one that serves, with its proof", f"{statistics.median(reloads):.2f} s"
        load(context, "digits")
        revision = context.catalogue.revision("digits")
        if revision is None:
            raise SystemExit("digits was not published")
        look = timed(lambda: (client.server_version(), client.ready("digits"), serves(client, revision)), 30)
        yield "`fleet status`, one package on one server", f"{look * 1e3:.1f} ms"
        one = sum(process.taken for process in processes(server))
        copies(repository, "digits", COPIES)
        for number in range(COPIES):
            client.load_and_wait(f"digits-{number}")
        more = sum(process.taken for process in processes(server))
        taken = (more - one) / COPIES / MIB
        yield "each loaded `digits` takes (a process of the embedded server's)", f"{taken:.0f} MiB"


def copies(repository: Path, name: str, count: int) -> None:
    """The same model under other names; files are links."""
    for number in range(count):
        place = repository / f"{name}-{number}"
        for file in (path for path in (repository / name).rglob("*") if path.is_file()):
            copy = place / file.relative_to(repository / name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".pbtxt":
                copy.write_text(file.read_text().replace(f'name: "{name}"', f'name: "{place.name}"', 1))
            else:
                os.link(file, copy)


def indexes(root: Path) -> Iterator[tuple[str, str]]:
    """How long a server takes to say what its repository holds."""
    for count in FOLDERS:
        repository = root / f"of {count}"
        for number in range(count):
            (repository / f"m{number}" / "1").mkdir(parents=True)
            (repository / f"m{number}" / "config.pbtxt").write_text(f'name: "m{number}"\n')
        with served(root / f"state {count}", repository) as server, Client(server.http, timeout=300) as client:
            yield f"index of a folder with {count:,} models", f"{timed(lambda: len(client.index())) * 1e3:.0f} ms"


def requests(root: Path) -> Iterator[tuple[str, str]]:
    """What a server asks an object store for."""
    os.environ.update(s3.ENVIRONMENT)
    empty = root / "empty"
    empty.mkdir()
    from moto.server import DomainDispatcherApplication

    asked: list[str] = []
    answer = DomainDispatcherApplication.__call__

    def counting(self: object, environ: dict[str, object], start: object) -> object:
        asked.append(str(environ["REQUEST_METHOD"]))
        return answer(self, environ, start)

    DomainDispatcherApplication.__call__ = counting
    with s3.served() as store_server, open_context(root / "line") as context:
        for count in OBJECTS:
            store = store_server.store(f"of-{count}")
            for number in range(count):
                store.write(f"m{number}/config.pbtxt", f'name: "m{number}"\n'.encode())
                store.write(f"m{number}/1/model.onnx", b"x")
            publish(context, ["digits"], store)
            with (
                served(root / f"s3 {count}", empty, f"--model-repository={store.url}") as server,
                Client(server.http, timeout=300) as client,
            ):
                for what, ask in (
                    ("an index", client.index),
                    ("an index of what is ready", lambda: ready(server.http)),
                    ("statistics", client.statistics),
                    ("a load, with the index that it is read back from,", lambda: loaded(client)),
                ):
                    ask()
                    asked.clear()
                    ask()
                    yield f"requests to S3 for {what} among {count:,} models", f"{len(asked):,}"
        DomainDispatcherApplication.__call__ = answer


def loaded(client: Client) -> None:
    """Unloaded by the bare call, so that only what follows counts."""
    client.unload("digits")
    client.load_and_wait("digits")


def ready(address: str) -> bytes:
    """The index of the models that are ready, which needs no look at the repository."""
    body = b'{"ready": true}'
    asked = urllib.request.Request(f"http://{address}/v2/repository/index", data=body, method="POST")
    with urllib.request.urlopen(asked, timeout=300) as answer:
        return bytes(answer.read())


def planning(root: Path) -> Iterator[tuple[str, str]]:
    """What is planned without a server."""
    sizes = (60, 120, 240)
    needs = [PackageNeed(f"p{number}", sizes[number % 3], REPLICAS) for number in range(PACKAGES)]
    rooms = [Room(f"server-{number}:8000", 48_000, {}) for number in range(SERVERS)]
    placed: list[Placement] = []
    took = timed(lambda: placed.append(place(needs, rooms)), 1)
    yield f"placing {PACKAGES:,} packages on {SERVERS:,} servers, {REPLICAS} of each", f"{took:.1f} s"
    servers = tuple(FleetServer(f"http://{room.name}", room.memory) for room in rooms)
    contexts = Contexts("all", {"all": FleetContext("all", servers, placed=placed[0].placed)})
    yield "writing that placement down", f"{timed(lambda: contexts.keep(root), 3) * 1e3:.0f} ms"
    yield "reading it", f"{timed(lambda: Contexts.of(root), 3) * 1e3:.0f} ms"
    yield "its size", f"{(root / 'contexts.json').stat().st_size / MIB:.1f} MiB"
    with open_context(root / "line") as context:
        took = timed(lambda: list(context.catalogue.published()), 50)
    yield "reading one package's revision from the catalogue", f"{took * 1e6:.0f} µs"


def main() -> int:
    """Measure, print, and write the table."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        make(root / "packages")
        init(root / "line")
        rows = []
        for part in (loads, indexes, requests, planning):
            for what, figure in part(root):
                rows.append(f"| {what} | {figure} |")
                print(rows[-1], flush=True)
    head = f"# What scale is calculated from\n\n{machine()}; medians.\n\n| What | Measured |\n| --- | ---: |\n"
    RESULTS.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

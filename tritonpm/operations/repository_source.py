"""Where a repository is adopted from: a folder, or an object store whose model folders are fetched one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.core.errors import NotFoundError, TritonpmError
from tritonpm.package.config import FILE, parsed, steps
from tritonpm.package.limits import Limits
from tritonpm.package.staging import Staging
from tritonpm.registry import is_address
from tritonpm.repository.location import located
from tritonpm.repository.store import Store, side_by_side

if TYPE_CHECKING:
    from tritonpm.operations.context import Context
    from tritonpm.repository.store import Listed

_MOST_OBJECTS = 100_000  # of a repository in a store
_DO = "name a repository that Triton serves"


@dataclass(frozen=True)
class RepositorySource:
    """Its model folders with the members of those that are ensembles, and a way to each, for as long as it is read."""

    where: str
    members: Mapping[str, tuple[str, ...]]
    folder: Callable[[str], AbstractContextManager[Path]]


def repository_source(context: Context, place: str) -> RepositorySource:
    """What lies in a folder or at the URL of a store. Raises NotFoundError, StorageError, UsageError."""
    location = located(place, "REPOSITORY", whole=True) if is_address(place) else None
    if location is None or location.scheme == "file":
        found = _of_a_folder(Path(place) if location is None else Path(location.bucket) / location.prefix)
    else:
        found = _of_a_store(context, Store(location))
    if not found.members:
        raise NotFoundError("holds no model folder", where=found.where, do=_DO)
    return found


def _of_a_folder(root: Path) -> RepositorySource:
    """Folders with a config.pbtxt, or a version's folder, as Triton looks for them."""
    if not root.is_dir():
        raise NotFoundError("there is no such folder", where=str(root), do=_DO)
    members = {}
    for entry in sorted(root.iterdir()):
        versions = entry.is_dir() and any(inner.name.isdigit() and inner.is_dir() for inner in entry.iterdir())
        if entry.is_dir() and ((entry / FILE).is_file() or versions):
            members[entry.name] = _members(_content(entry / FILE), str(entry))
    return RepositorySource(str(root), members, lambda name: nullcontext(root / name))


def _of_a_store(context: Context, store: Store) -> RepositorySource:
    folders: dict[str, dict[str, Listed]] = {}
    for path, listed in sorted(store.listed("", most=_MOST_OBJECTS).items()):
        name, _, inner = path.partition("/")
        if inner:
            folders.setdefault(name, {})[inner] = listed
    folders = {name: own for name, own in folders.items() if FILE in own or any(map(_in_a_version, own))}

    def members(name: str) -> tuple[str, tuple[str, ...]]:
        size = folders[name][FILE].size if FILE in folders[name] else 0
        few = 0 < size <= Limits().config
        content = b"".join(store.chunks(f"{name}/{FILE}", size)) if few else b""
        return name, _members(content, f"{store.url}/{name}")

    known = dict(side_by_side(members, folders))

    def fetched(name: str) -> AbstractContextManager[Path]:
        return _fetched(context, store, name, folders[name])

    return RepositorySource(store.url, {name: known[name] for name in folders}, fetched)


def _in_a_version(path: str) -> bool:
    return path.partition("/")[0].isdigit()


@contextmanager
def _fetched(context: Context, store: Store, name: str, objects: Mapping[str, Listed]) -> Iterator[Path]:
    """A copy of a model folder; all of it is held to the limits before anything comes.

    Raises UnsafeError, StorageError.
    """
    with context.workspace.scratch("adopt") as scratch, context.progress(f"Fetching {name}") as report:
        staging = Staging(scratch, store.url, Limits(), lambda _, done, total: report(done, total))
        files = {}
        for path, listed in objects.items():
            marker = not listed.size and path.isdigit()  # how consoles of stores keep an empty version folder
            staging.paths.add(f"{name}/{path}", folder=marker)
            if marker:
                staging.folder(f"{name}/{path}")
            else:
                files[path] = listed.size
        staging.expect(sum(files.values()))
        for path, size in files.items():
            staging.write(f"{name}/{path}", store.chunks(f"{name}/{path}", size))
        yield scratch / name


def _content(config: Path) -> bytes:
    try:
        return config.read_bytes()
    except OSError:
        return b""


def _members(config: bytes, where: str) -> tuple[str, ...]:
    """Of an ensemble; a config that cannot be read is refused at its import."""
    try:
        return steps(parsed(config.decode(errors="replace"), where)) if config else ()
    except TritonpmError:
        return ()

"""`tritonpm run`: from a model file to a server that answers, in the workspace that is there or a new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpm.catalogue import Workspace, find
from tritonpm.core.errors import NotFoundError, RenderError, UsageError
from tritonpm.core.units import number_of
from tritonpm.operations.client import ClientCode, code_of, served
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import TIMEOUT, load
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.pull import pull
from tritonpm.operations.serve import ServerAddresses, addresses, serve
from tritonpm.operations.server import await_return, own_server, supervise_detached
from tritonpm.operations.set import change
from tritonpm.operations.show import PackageDetails
from tritonpm.operations.stop import stop
from tritonpm.operations.supervise import ended_with_us
from tritonpm.package.paths import is_name
from tritonpm.registry import is_address
from tritonpm.triton.installation import find as find_server

if TYPE_CHECKING:
    from tritonpm.core.types import Tensor
    from tritonpm.meaning.stages import Meaning
    from tritonpm.operations.context import Context

SNIPPETS = ("curl", "python")  # the languages of what is printed
_STOP = 60.0  # seconds that a server may take to end


@dataclass(frozen=True)
class Run:
    """A package that is served: the tensors as clients see them, who serves it, and code that asks it.

    `started` is whether the server was started for it, `probe` what the load proved, `meaning` what is known of its
    tensors in a few words, "" for nothing.
    """

    name: str
    revision: int
    probe: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    server: ServerAddresses
    started: bool
    code: tuple[ClientCode, ...]
    meaning: str = ""


@contextmanager
def workspace_for(source: str, named: Path | None) -> Iterator[tuple[Path, bool]]:
    """The folder that was named or is around the current one, made a workspace where it is none; whether it was made.

    Where the block fails, what was made is taken away. Raises NotFoundError where there is no such source, UsageError
    where the workspace would lie in it, ServerError where it would have no server.
    """
    there = not is_address(source)
    if there and not Path(source).exists():
        do = f"check the path; `tritonpm load {source}` serves a package" if is_name(source) else "check the path"
        raise NotFoundError("there is no such file or folder", where=source, do=do)
    root = _root(named)
    fresh = not Workspace(root).exists
    made = [folder for folder in (Workspace(root).repository, root, *root.parents) if not folder.exists()]
    if fresh and there and Path(source).is_dir() and root.is_relative_to(Path(source).resolve()):
        raise UsageError("the workspace would lie in the package", where=str(root), do="name another folder with -w")
    if fresh:
        find_server()  # before anything is written
        init(root)
    try:
        yield root, fresh
    except BaseException:
        if fresh:
            _take_away(Workspace(root), made)
        raise


def brought_in(
    context: Context, source: str, *, changes: Mapping[str, object], **options: Any
) -> tuple[PackageDetails, bool]:
    """The package of a file, folder or URL, imported where its content is not there yet; whether it was.

    Raises what `import_package`, `pull` and `change` raise.
    """
    before = {entry.name for entry in context.catalogue.packages()}
    if is_address(source):
        view = pull(context, source, changes=changes, known=True, **options)
    else:
        view = import_package(context, Path(source), changes=changes, known=True, **options)
    if view.name in before and changes:
        return change(context, view.name, changes), False
    return view, view.name not in before


@contextmanager
def server_for(context: Context, *, detach: bool, **address: Any) -> Iterator[tuple[ServerAddresses, bool]]:
    """The workspace's server, which is left alone where it runs, else started; whether it was.

    One that was started ends with the block; detached it stays, unless the block fails. Raises ServerError, BusyError.
    """
    await_return(context)
    if server := own_server(context):
        yield addresses(server), False
    elif detach:
        view = serve(context, None, detach=True, **address)
        supervise_detached(context)
        try:
            yield view, True
        except BaseException:
            stop(context, _STOP)
            raise
    else:
        with ended_with_us(context):
            yield serve(context, None, detach=False, **address), True


def run(context: Context, name: str, server: ServerAddresses, *, started: bool, timeout: float = TIMEOUT) -> Run:
    """Load a package on the server that runs. Raises what `load` raises."""
    with context.progress(f"Loading {name}"):
        loaded = load(context, name, timeout=timeout)
    known = served(context, name)
    code: list[ClientCode] = []
    for language in SNIPPETS:
        with suppress(UsageError):  # it has no way to say it
            code.append(code_of(context, known, language))
    signature = known.signature
    return Run(
        name, loaded.revision, loaded.probe, signature.inputs, signature.outputs, server, started, tuple(code),
        _meaning(context, name),
    )  # fmt: skip


def _meaning(context: Context, name: str) -> str:
    """What is known of a package's tensors, in a few words."""
    record = context.catalogue.get(name)
    try:
        meaning = meaning_of(record.package, record.settings)
    except (ValueError, RenderError):  # what is said of them cannot be, which a rule tells
        return ""
    labels = meaning.labels or record.package.stages[-1].signature.labels
    words: list[str] = [meaning.decode.kind] if meaning.decode else []
    words += [number_of(len(labels), "label")] if labels else []
    words += [f"`tritonpm infer {name} --image FILE` tells what is in a picture"] if _sees(meaning) else []
    return ", ".join(words)


def _sees(meaning: Meaning) -> bool:
    """Whether it is known how a picture becomes its input, and what its outputs say of one."""
    return meaning.preprocess is not None and meaning.decode is not None and not meaning.preprocess.tokenizer


def _root(named: Path | None) -> Path:
    """The workspace that is named, else the one around the current folder, else the current folder."""
    if named is not None:
        return named.resolve()
    try:
        return find().root
    except NotFoundError:
        return Path.cwd().resolve()


def _take_away(workspace: Workspace, made: list[Path]) -> None:
    """Undo `init`: what tritonpm keeps, and the folders that it made, the innermost first."""
    shutil.rmtree(workspace.state, ignore_errors=True)
    with suppress(OSError):  # somebody has put something there
        for folder in made:
            folder.rmdir()

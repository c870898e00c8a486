"""Models of the Hugging Face Hub: `hf://ORG/MODEL[@REVISION][/FILE]`, an ONNX or OpenVINO export that is there.

Fetched are the export, what it needs, and the documents that say what it means, of one commit. `HF_ENDPOINT` names
another Hub, `HF_TOKEN` or `hf auth login` a token; it stays with the Hub's own host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import huggingface_hub
import msgspec
import psutil
import requests
from huggingface_hub import errors

from tritonpm.core import sandbox
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError
from tritonpm.core.units import human
from tritonpm.meaning.inferred import BESIDE
from tritonpm.package.limits import Limits
from tritonpm.package.paths import Paths, name_from
from tritonpm.package.signature.onnx import external_locations
from tritonpm.registry import shown
from tritonpm.registry.hub_export import ExportRequest
from tritonpm.registry.transfer import DownloadTask, Part, Source, download
from tritonpm.registry.web import Session, part_of, require_encrypted, speaking

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_URL = re.compile(r"hf://(?P<model>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@?#]+))?(?:/(?P<file>[^?#]+))?/?")
_USUAL = ("model.onnx", "onnx/model.onnx", "openvino_model.xml", "openvino/openvino_model.xml")
_ENDINGS = (".onnx", ".xml")
_KEPT = (*_ENDINGS, ".bin", ".data", ".onnx_data", *BESIDE)  # of what Optimum writes
_LOGIN = "`hf auth login`, or HF_TOKEN, gives a token"
_PATIENCE = 30.0  # seconds
_SHARE = 0.75  # of the machine's memory, that an export may use


@dataclass(frozen=True)
class HubModel:
    """One commit of a model: its files with their sizes in bytes and digests ("": the Hub does not say)."""

    where: str
    model: str
    endpoint: str
    commit: str
    files: Mapping[str, tuple[int, str]]


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """A folder with the export and what belongs to it. Raises RegistryError, NotFoundError, UsageError."""
    if task.digest:
        raise UsageError("is pinned by its revision, not by a digest", where=shown(url), do="name it hf://…@COMMIT")
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(
            "is not an address of a model", where=shown(url), do="name it hf://ORG/MODEL[@REVISION][/FILE]"
        )
    hub = _listed(shown(url), match["model"], unquote(match["revision"] or "main"))
    target = folder / (name_from(hub.model.rpartition("/")[2]) or "model")
    main = _export(hub, unquote(match["file"] or ""))
    if not main:
        return _made(hub, folder, target, task)
    with Session(task.bounds.silence) as session:
        if token := huggingface_hub.get_token():
            session.auth = _Token(token)
        fetched = _Fetch(hub, session, target, task)
        fetched.all([main, *_weights(hub, main)], PurePosixPath(main).parent)
        if main.endswith(".onnx"):
            name = PurePosixPath(main).name
            inside = external_locations(target / name, f"{hub.where}: {main}", Limits())
            paths = (str(PurePosixPath(main).parent / path) for path in inside)
            fetched.all([path for path in paths if path in hub.files], PurePosixPath(main).parent)
        for path in _documents(hub, main):
            fetched.all([path], PurePosixPath(path).parent)
    return target


class _Token(requests.auth.AuthBase):
    """Sent to the host that was asked, and to none that it leads to."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass
class _Fetch:
    """Files of a commit on their way to `target`, all of them together within the task's bounds."""

    hub: HubModel
    session: Session
    target: Path
    task: DownloadTask
    done: int = 0

    def __post_init__(self) -> None:
        self.paths = Paths(self.hub.where, Limits())

    def all(self, paths: list[str], root: PurePosixPath) -> None:
        """Fetch them to where they lie below `root`. Raises RegistryError, StorageError, UnsafeError."""
        for path in paths:
            self.paths.add(path)
            size, digest = self.hub.files[path]
            if self.done + size > self.task.bounds.size:
                raise RegistryError(f"is longer than {human(self.task.bounds.size)}", where=self.hub.where,
                                    do="name a smaller export")  # fmt: skip
            bounds = replace(self.task.bounds, size=self.task.bounds.size - self.done)
            before = self.done
            own = DownloadTask(digest, bounds, lambda done, _, before=before: self._report(before + done))  # type: ignore[misc]
            place = self.target / PurePosixPath(path).relative_to(root)
            download(self._source(path), place, f"{self.hub.where}: {path}", own)
            self.done += place.stat().st_size

    def _report(self, done: int) -> None:
        self.task.report(done, 0)

    def _source(self, path: str) -> Source:
        where = f"{self.hub.where}: {path}"
        url = huggingface_hub.hf_hub_url(self.hub.model, path, revision=self.hub.commit, endpoint=self.hub.endpoint)

        @contextmanager
        def open_from(start: int) -> Iterator[Part]:
            headers = {"Range": f"bytes={start}-"} if start else {}
            with speaking(where):
                answer = self.session.get(url, headers=headers, stream=True)
            with answer:
                yield part_of(answer, start, where, _LOGIN)

        return open_from


def _listed(where: str, model: str, revision: str) -> HubModel:
    """What the Hub says of a revision. Raises NotFoundError, RegistryError."""
    endpoint = (os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT).rstrip("/")
    require_encrypted(endpoint, "HF_ENDPOINT: ")
    api = huggingface_hub.HfApi(endpoint=endpoint, token=huggingface_hub.get_token())
    try:
        info = api.model_info(model, revision=revision, files_metadata=True, timeout=_PATIENCE)
    except errors.GatedRepoError:
        raise RegistryError("requires its terms to be accepted, and a token", where=where, do=_LOGIN) from None
    except errors.RevisionNotFoundError:
        raise NotFoundError(f"has no revision {revision!r}", where=where, do="check it") from None
    except errors.RepositoryNotFoundError:
        raise NotFoundError(
            "is not a model, or is one that requires a token", where=where, do=f"check it; {_LOGIN}"
        ) from None
    except Exception as error:  # of whichever HTTP client it uses; its words may hold a signed address
        what = f"{endpoint} does not answer as a Hub does ({type(error).__name__})"
        raise RegistryError(what, where=where, do="check that it is reachable, and run it again") from None
    return HubModel(where, model, endpoint, str(info.sha), {one.rfilename: _told(one) for one in info.siblings or ()})


def _told(sibling: RepoSibling) -> tuple[int, str]:
    large: Any = sibling.lfs
    return sibling.size or 0, f"sha256:{large.sha256}" if large else ""


def _export(hub: HubModel, named: str) -> str:
    """The file that was named, or the one export that is usual or alone; "" where Optimum is here to make one.

    Raises NotFoundError, UsageError.
    """
    exports = [path for path in hub.files if path.endswith(_ENDINGS)]
    if named:
        if named not in exports:
            raise NotFoundError(f"has no export {named}", where=hub.where, do=f"name one of {_few(exports)}")
        return named
    usual = next((path for path in _USUAL if path in exports), "")
    if usual or len(exports) == 1:
        return usual or exports[0]
    if exports:
        raise UsageError(f"has several exports: {_few(exports)}", where=hub.where,
                         do=f"name one, as hf://{hub.model}/{exports[0]}")  # fmt: skip
    if find_spec("optimum"):
        return ""
    by_hand = f"make one with it, `optimum-cli export onnx --model {hub.model} OUT`, and import OUT"
    do = f"install Optimum here (`pip install optimum-onnx`), or {by_hand}"
    raise NotFoundError("has neither an ONNX nor an OpenVINO export", where=hub.where, do=do)


def _made(hub: HubModel, folder: Path, target: Path, task: DownloadTask) -> Path:
    """The export that Optimum makes, in a process of its own with limits. Raises RegistryError."""
    memory = int(_SHARE * psutil.virtual_memory().total)
    (folder / "request.json").write_bytes(msgspec.json.encode(ExportRequest(hub.model, hub.commit, memory)))
    try:
        raw = sandbox.answered("tritonpm.registry.hub_export", folder, deadline=task.bounds.duration)
    except sandbox.EndedError as error:
        raise RegistryError(f"Optimum's export {error}", where=hub.where, do="export it elsewhere") from None
    if why := msgspec.json.decode(raw, type=str):
        raise RegistryError(f"Optimum does not export it: {why}", where=hub.where, do="export it with its own tools")
    target.mkdir()
    for path in (folder / "export").iterdir():
        if path.name.endswith(_KEPT):
            path.rename(target / path.name)
    return target


def _few(paths: list[str]) -> str:
    return ", ".join(paths[:8]) + (" …" if len(paths) > 8 else "") if paths else "none"


def _weights(hub: HubModel, main: str) -> list[str]:
    path = str(PurePosixPath(main).with_suffix(".bin"))
    return [path] if main.endswith(".xml") and path in hub.files else []


def _documents(hub: HubModel, main: str) -> list[str]:
    """Those beside the export, else those at the top."""
    folder = PurePosixPath(main).parent
    places = ([str(folder / name), name] for name in BESIDE)
    return [path for both in places if (path := next((one for one in both if one in hub.files), ""))]

"""Models of an MLflow registry: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `mlflow://HOST:PORT/NAME/VERSION`.

The server is that of `MLFLOW_TRACKING_URI` (and `MLFLOW_REGISTRY_URI`), or the one in the address; credentials are the
client's own (`MLFLOW_TRACKING_TOKEN`, …). Nothing that was logged is unpickled or run here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # ours is shown
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers what it is used for

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError
from tritonpm.core.units import human
from tritonpm.package.document import load
from tritonpm.package.limits import Limits
from tritonpm.package.paths import Paths, name_from
from tritonpm.package.signature import SAVED_MODEL
from tritonpm.registry import shown
from tritonpm.registry.transfer import DownloadTask
from tritonpm.registry.web import require_encrypted

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_MODEL = r"(?P<name>[^/@]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))"
_URLS = (re.compile(rf"models:/{_MODEL}"), re.compile(rf"mlflow://(?P<host>[^/@]+)/{_MODEL}"))
_ENDINGS = (".onnx", ".xml", ".keras", f"/{SAVED_MODEL}", ".pdmodel", ".tflite")  # what import takes, the best first
_LOCAL = ("", "file", "sqlite")  # schemes of a store that is this machine's
_CHECK = "check MLFLOW_TRACKING_URI and the name, and run it again"


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """The model that was logged: a file, or the folder that it is. Raises RegistryError, NotFoundError, UsageError."""
    where = shown(url)
    if task.digest:
        raise UsageError("is pinned by its version, not by a digest", where=where, do="leave --digest out")
    match = next((found for pattern in _URLS if (found := pattern.fullmatch(url))), None)
    if match is None:
        do = "name it models:/NAME/VERSION or models:/NAME@ALIAS"
        raise UsageError("is not an address of a model", where=where, do=do)
    told = match.groupdict()
    tracking = _server(told.get("host") or "")
    registry = tracking if told.get("host") else mlflow.get_registry_uri()
    with _speaking(where):
        client = mlflow.MlflowClient(tracking, registry)
        version = told["version"] or client.get_model_version_by_alias(told["name"], told["alias"]).version
        source = client.get_model_version_download_uri(told["name"], str(version))
        _require_elsewhere(source, tracking, registry, where)
        artifacts = get_artifact_repository(source, tracking_uri=tracking)
        paths = _listed(artifacts, where, task)
        target = folder / "logged"
        target.mkdir(parents=True, exist_ok=True)
        artifacts.download_artifacts("", dst_path=str(target))
    return _model(target, paths, name_from(told["name"]) or "model", where)


def _server(host: str) -> str:
    """The address of the tracking server. Raises RegistryError where it is not encrypted and not this machine."""
    if host:
        return f"http{'' if is_loopback(urlsplit(f'//{host}').hostname or '') else 's'}://{host}"
    tracking = str(mlflow.get_tracking_uri())
    if urlsplit(tracking).scheme in ("http", "https"):
        require_encrypted(tracking, "MLFLOW_TRACKING_URI: ")
    return tracking


def _require_elsewhere(source: str, tracking: str, registry: str, where: str) -> None:
    """Raise RegistryError where a server elsewhere says that a model is a file of this machine."""
    theirs = any(urlsplit(uri).scheme not in _LOCAL for uri in (tracking, registry))
    if theirs and urlsplit(source).scheme in _LOCAL:
        do = "have the server hand out its artifacts (`mlflow server --serve-artifacts`)"
        raise RegistryError("lies in a folder of the server, which is not read from here", where=where, do=do)


def _listed(artifacts: ArtifactRepository, where: str, task: DownloadTask) -> list[str]:
    """Every file, once all of them together are held to the limits. Raises UnsafeError, RegistryError."""
    paths, total, folders = Paths(where, Limits()), 0, [""]
    while folders:
        for entry in artifacts.list_artifacts(folders.pop() or None):
            paths.add(entry.path, folder=entry.is_dir)
            total += entry.file_size or 0
            if entry.is_dir:
                folders.append(entry.path)
    if total > task.bounds.size:
        do = "log a smaller model"
        raise RegistryError(f"is {human(total)} long, and {human(task.bounds.size)} is the most", where=where, do=do)
    return sorted(paths.files)


def _model(root: Path, paths: list[str], name: str, where: str) -> Path:
    """What of a logged model is imported, under the model's name. Raises RegistryError."""
    flavors = _flavors(root / "MLmodel", where)
    data = str(_mapping(flavors.get("triton")).get("data", ""))
    if data and any(path.startswith(f"{data}/") for path in paths):
        return root / data
    data = str(_mapping(flavors.get("onnx")).get("data", ""))
    models = [data] if data in paths else []
    models += [path for ending in _ENDINGS for path in paths if f"/{path}".endswith(ending)]
    if not models:
        kinds = ", ".join(sorted({*flavors} - {"python_function"})) or "no flavour"
        what = f"was logged as {kinds}, which nothing here serves"
        do = "log it as ONNX (`mlflow.onnx.log_model`), or as a Triton model folder"
        raise RegistryError(what, where=where, do=do)
    model = root / models[0]
    if model.name == SAVED_MODEL:
        return model.parent.rename(root / name)
    weights = model.with_suffix(".bin" if model.suffix == ".xml" else ".pdiparams")
    if model.suffix in (".xml", ".pdmodel") and weights.is_file():
        weights.rename(model.with_name(name + weights.suffix))
    return model.rename(model.with_name(name + PurePosixPath(models[0]).suffix))


def _flavors(file: Path, where: str) -> Mapping[str, Any]:
    if not file.is_file() or file.is_symlink() or file.stat().st_size > Limits().manifest:
        raise RegistryError("is not a logged model: it has no MLmodel", where=where, do="log it with MLflow")
    return _mapping(_mapping(load(file.read_bytes(), f"{where}: MLmodel", Limits())).get("flavors"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@contextmanager
def _speaking(where: str) -> Iterator[None]:
    """What the client raises, as a sentence; its own words may hold a signed address."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            raise NotFoundError("there is no such model or version", where=where, do=_CHECK) from None
        if error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            raise RegistryError("requires other credentials", where=where, do="set MLFLOW_TRACKING_TOKEN") from None
        raise RegistryError(f"MLflow refuses ({error.error_code})", where=where, do=_CHECK) from None
    except (OSError, ImportError) as error:
        raise RegistryError(f"cannot be fetched ({type(error).__name__})", where=where, do=_CHECK) from None

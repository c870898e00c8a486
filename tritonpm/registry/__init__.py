"""Where packages are fetched from and put: one small module for each kind of address. Knows nothing of a workspace.

An address is `scheme://place`; its module gives `fetch` and, where it can be written to, `push`. What is fetched is a
file that nobody has looked into, with its signature, `<file>.sig`, and its attestations, `<file>.att`, where there are
any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from tritonpm.core.errors import UsageError
from tritonpm.core.extras import needed
from tritonpm.core.files import DIGEST
from tritonpm.core.plugins import SOURCES, loaded, plugins

if TYPE_CHECKING:
    from tritonpm.registry.transfer import DownloadTask

MODULES = {
    "oci": "oci", "https": "https", "http": "https", "file": "folder",
    "s3": "objects", "gs": "objects", "az": "objects", "hf": "hub",
    "models": "mlflow_models", "mlflow": "mlflow_models",
}  # fmt: skip
_EXTRAS = {"hub": "hub", "mlflow_models": "mlflow"}  # of a module; of all others it is `registry`
SIGNATURE, ATTESTATION = ".sig", ".att"  # what their names add to their package's
BESIDE = (SIGNATURE, ATTESTATION)
VERSION = "org.opencontainers.image.version"
TITLE = "org.opencontainers.image.title"  # the annotation that `oras pull` names a layer's file by
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,120}\.zip")


class Module(Protocol):
    """What each module of this folder offers."""

    def fetch(self, url: str, folder: Path, task: DownloadTask) -> Path:
        """The package's file or folder in `folder`, checked against the task's digest; a partial one is gone on with.

        Raises RegistryError, NotFoundError, StorageError.
        """

    def push(self, file: Path, url: str, *, force: bool = False) -> Pushed:
        """Put a file and what lies beside it. Raises RegistryError where something else is there."""


@dataclass(frozen=True)
class Pushed:
    """What was put where: `url` is the address that says most exactly what to pull, `digest` the file's."""

    url: str
    digest: str
    signed: bool
    attested: bool = False

    @classmethod
    def of(cls, url: str, digest: str, file: Path) -> Pushed:
        """Of a file and what lay beside it."""
        return cls(url, digest, *(beside(file, kind).is_file() for kind in BESIDE))


def is_address(text: str) -> bool:
    """Whether this is an address of a registry and no path."""
    return "://" in text or text.startswith("models:/")


def module(url: str) -> Module:
    """The module for an address. Raises UsageError, RequirementError."""
    scheme = url.partition(":")[0] if is_address(url) else "file"
    foreign = plugins(SOURCES)[scheme] if scheme not in MODULES and scheme in plugins(SOURCES) else None
    if scheme not in MODULES and foreign is None:
        raise UsageError(
            f"{scheme}:// is not a kind of address that is known", do=f"use {', '.join(f'{s}://' for s in MODULES)}"
        )
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - which is read when it is asked for
    except ValueError as error:
        raise UsageError(f"is not an address ({error})", where=shown(url), do="correct it") from None
    if parts.username or parts.password:
        raise UsageError(
            "the address holds a user or password", do="take it out; docs/registries.md says where it goes"
        )
    if foreign is not None:
        return cast(Module, loaded(foreign))
    with needed(f"{scheme}://", _EXTRAS.get(MODULES[scheme], "registry")):
        return cast(Module, import_module(f"tritonpm.registry.{MODULES[scheme]}"))


def shown(url: str) -> str:
    """An address for a sentence: without its query and its user, which may hold a credential."""
    scheme, slashes, place = url.partition("?")[0].partition("#")[0].rpartition("://")
    host, slash, path = place.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2] if slashes else host}{slash}{path}"


def beside(file: Path, kind: str) -> Path:
    """Where a file's signature or attestations lie."""
    return file.with_name(file.name + kind)


def file_name(url: str) -> str:
    """What the fetched file is called: as in its address where that is a plain name."""
    last = shown(url).rstrip("/").rsplit("/", 1)[-1]
    return last if _FILE.fullmatch(last) else "package.zip"


def require_digest(digest: str) -> str:
    """`digest` where it is one. Raises UsageError."""
    if not DIGEST.fullmatch(digest):
        raise UsageError(
            f"{digest!r} is not a digest", do="give sha256: and 64 hexadecimal digits, as `sha256sum` says"
        )
    return digest

"""Packages in OCI registries, as artefacts of a media type of our own: `oci://registry.site/vision/bolts:1.2`.

An address that ends in `@sha256:…` names one manifest for ever. Credentials are those of Docker's config.json
(`docker login`), its helpers included.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
from oras.container import Container
from oras.logger import logger
from oras.provider import Registry
from oras.utils import append_url_params

from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import NotFoundError, RegistryError, UsageError
from tritonpm.core.files import DIGEST, digest_of, digest_of_bytes
from tritonpm.registry import SIGNATURE, Pushed, shown
from tritonpm.registry.transfer import Bounds, DownloadTask, Part, Source, download, fetch_signature, settled
from tritonpm.registry.web import Session, part_of, require_good, speaking

PACKAGE_TYPE = "application/vnd.tritonpm.package.v1+zip"
SIGNATURE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_EMPTY_TYPE, _EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
_TITLE = "org.opencontainers.image.title"
_PUSH_SILENCE = 300.0  # seconds: a registry checks what it was given before it answers
_OWNER = "ask who runs the registry"
_LOGIN = "`docker login` to it"
_PLACE = re.compile(rf"/(?P<name>[a-z0-9]+([._/-]+[a-z0-9]+)*)(:[\w][\w.-]{{0,127}})?(@{DIGEST.pattern})?", re.ASCII)


class _Layer(msgspec.Struct, frozen=True):
    """A blob of a manifest."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int


class _Manifest(msgspec.Struct, frozen=True):
    """What is read of a manifest."""

    layers: tuple[_Layer, ...] = ()

    def layer(self, kind: str) -> _Layer | None:
        """The one layer of that type."""
        layers = [layer for layer in self.layers if layer.media_type == kind and DIGEST.fullmatch(layer.digest)]
        return layers[0] if len(layers) == 1 else None


class _Client(Registry):  # type: ignore[misc]
    """oras without its own retries, which wait two minutes for what cannot come, and with a new token for each right.

    oras goes on with the token that it has: where one to read was asked for first, a write is refused for ever.
    """

    def do_request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """A request, authenticated where the registry wants that."""
        answer: requests.Response = Registry.do_request.__wrapped__(self, *args, **kwargs)
        if answer.status_code == 401 and getattr(self.auth, "token", None):
            self.auth.token = None
            answer = Registry.do_request.__wrapped__(self, *args, **kwargs)
        return answer


@contextmanager
def _asking(where: str) -> Iterator[None]:
    """Turn what oras raises, which is ValueError for whatever goes wrong, into RegistryError."""
    try:
        with speaking(where):
            yield
    except (ValueError, AttributeError):  # the latter for a challenge without a realm
        raise RegistryError("refuses these credentials, or wants some", where=where, do=_LOGIN) from None


def fetch(url: str, folder: Path, task: DownloadTask) -> Path:
    """The package that the manifest at `url` names. Raises RegistryError, NotFoundError, UsageError."""
    where = shown(url)
    with settled(where):
        at = _Repository(url, task.bounds)
        manifest = at.manifest()
    package, signature = manifest.layer(PACKAGE_TYPE), manifest.layer(SIGNATURE_TYPE)
    if package is None:
        raise RegistryError("holds no package of tritonpm", where=where, do="check the address")
    if task.digest not in ("", package.digest):
        raise RegistryError(
            f"holds {package.digest}, and {task.digest} was asked for", where=where, do="ask who published it"
        )
    target = folder / f"{at.name}.zip"
    fetch_signature(at.blob(signature.digest) if signature else None, target, where, task)
    return download(at.blob(package.digest), target, where, replace(task, digest=package.digest))


def push(file: Path, url: str, *, force: bool = False) -> Pushed:
    """Put a file and its signature, what names them last. Raises RegistryError where something else is there."""
    where, digest = shown(url), digest_of(file)
    signature = file.with_name(file.name + SIGNATURE)
    with settled(where):
        at = _Repository(url, Bounds(silence=_PUSH_SILENCE))
        if at.container.digest:
            raise UsageError("a digest cannot be pushed to", where=where, do="push to a tag")
        if not force and at.holds() not in ("", digest):
            raise RegistryError("something else is there", where=where, do="choose another tag, or use --force")
        layers = [at.upload(file, PACKAGE_TYPE, digest)]
        layers += [at.upload(signature, SIGNATURE_TYPE, digest_of(signature))] if signature.is_file() else []
        pinned = at.name_it(layers)
    return Pushed(f"{url}@{pinned}", digest, signature.is_file())


class _Repository:
    """A repository of a registry, and the manifest in it that the address names."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        parts = urlsplit(url)
        match = _PLACE.fullmatch(parts.path)
        if not match or not parts.hostname or parts.query or parts.fragment:
            raise UsageError("is not an address of a registry", where=shown(url), do="use oci://HOST/NAME:TAG")
        self.where, self.name = shown(url), match["name"].rsplit("/", 1)[-1]
        self.container = Container(f"registry.invalid{parts.path}")
        self.container.registry = parts.netloc
        self.session = Session(bounds.silence)
        self.client = self._client(insecure=is_loopback(parts.hostname))

    def manifest(self) -> _Manifest:
        """What the address names. Raises NotFoundError, RegistryError where it is not what its digest says."""
        answer = self._ask(self.container.manifest_url(), "GET", headers={"Accept": _MANIFEST_TYPE})
        wanted = self.container.digest
        if wanted and wanted != digest_of_bytes(answer.content):
            raise RegistryError(f"is not {wanted}", where=self.where, do=_OWNER)
        try:
            return msgspec.json.decode(answer.content, type=_Manifest)
        except msgspec.MsgspecError:
            raise RegistryError("holds no manifest", where=self.where, do="check the address") from None

    def holds(self) -> str:
        """The digest of the package that is there, "" where there is none, "?" where it is something else."""
        try:
            package = self.manifest().layer(PACKAGE_TYPE)
        except NotFoundError:
            return ""
        return package.digest if package else "?"

    def blob(self, digest: str) -> Source:
        """A blob, to be downloaded."""

        @contextmanager
        def open_from(start: int) -> Iterator[Part]:
            headers = {"Range": f"bytes={start}-"} if start else {}
            with self._request(self.container.get_blob_url(digest), "GET", headers=headers, stream=True) as answer:
                yield part_of(answer, start, self.where, _LOGIN)

        return open_from

    def upload(self, file: Path, kind: str, digest: str) -> dict[str, object]:
        """Put a file's content, where it is not there yet; the layer that names it."""
        size = file.stat().st_size
        with file.open("rb") as stream:
            self._put_blob(stream, digest, size)
        return {"mediaType": kind, "digest": digest, "size": size, "annotations": {_TITLE: file.name}}

    def name_it(self, layers: list[dict[str, object]]) -> str:
        """Put the manifest that names the layers under the address; its digest."""
        empty = digest_of_bytes(_EMPTY)
        self._put_blob(_EMPTY, empty, len(_EMPTY))
        manifest = {
            "schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "artifactType": PACKAGE_TYPE,
            "config": {"mediaType": _EMPTY_TYPE, "digest": empty, "size": len(_EMPTY)}, "layers": layers,
        }  # fmt: skip
        raw = json.dumps(manifest).encode()
        self._ask(self.container.manifest_url(), "PUT", data=raw, headers={"Content-Type": _MANIFEST_TYPE})
        return digest_of_bytes(raw)

    def _put_blob(self, content: IO[bytes] | bytes, digest: str, size: int) -> None:
        if self._request(self.container.get_blob_url(digest), "HEAD").ok:
            return
        begun = self._ask(self.container.upload_blob_url(), "POST")
        place = urljoin(str(begun.url), begun.headers.get("Location", ""))
        if urlsplit(place)[:2] != urlsplit(str(begun.url))[:2]:
            raise RegistryError(f"wants uploads sent to {shown(place)}", where=self.where, do=_OWNER)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        place = append_url_params(place, {"digest": digest}).partition("://")[2]
        self._ask(place, "PUT", data=content, headers=headers)

    def _ask(self, place: str, method: str, **options: Any) -> requests.Response:
        answer = self._request(place, method, **options)
        require_good(answer, self.where, _LOGIN)
        return answer

    def _request(self, place: str, method: str, **options: Any) -> requests.Response:
        with _asking(self.where):
            return self.client.do_request(f"{self.client.prefix}://{place}", method, **options)

    def _client(self, *, insecure: bool) -> _Client:
        """A client with the credentials that Docker has for this registry, given in the way that it wants them."""
        logger.set_level(logging.CRITICAL)
        prefix = "http" if insecure else "https"
        with speaking(self.where):
            challenge = self.session.get(f"{prefix}://{self.container.registry}/v2/").headers.get(
                "WWW-Authenticate", ""
            )
        basic = challenge.lower().startswith("basic")
        client = _Client(self.container.registry, insecure=insecure, auth_backend="basic" if basic else "token")
        client.session = client.auth.session = self.session
        config = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"
        with _asking(self.where):
            client.auth.load_configs(self.container, configs=[str(config)] if config.is_file() else [])
        if basic:
            if not (credentials := getattr(client.auth, "_basic_auth", "")):
                raise RegistryError("wants a user and password", where=self.where, do=_LOGIN)
            self.session.headers["Authorization"] = f"Basic {credentials}"
        return client

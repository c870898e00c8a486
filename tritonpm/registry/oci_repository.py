"""A repository of an OCI registry: manifests, blobs, and what refers to a manifest (its signatures and attestations).

Credentials are those of Docker's config.json (`docker login`), its helpers included. Source: OCI image-spec 1.1 and
distribution-spec 1.1, with the latter's fallback for registries that do not list referrers themselves.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
from oras.container import Container
from oras.logger import logger
from oras.provider import Registry
from oras.utils import append_url_params

from tritonpm.core.addresses import is_loopback
from tritonpm.core.errors import RegistryError, UsageError
from tritonpm.core.files import DIGEST, digest_of, digest_of_bytes
from tritonpm.registry import TITLE, shown
from tritonpm.registry.transfer import Bounds, Part, Source
from tritonpm.registry.web import Session, part_of, require_good, speaking

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_EMPTY_TYPE, _EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
LOGIN = "`docker login` to it"
_OWNER = "ask who runs the registry"
_MOST_REFERRERS = 16  # that are looked at, of one kind
_PLACE = re.compile(rf"/(?P<name>[a-z0-9]+([._/-]+[a-z0-9]+)*)(:[\w][\w.-]{{0,127}})?(@{DIGEST.pattern})?", re.ASCII)

Descriptor = dict[str, object]


class OciBlob(msgspec.Struct, frozen=True):
    """A blob of a manifest, or a manifest of an index, as a descriptor names it."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int
    artifact_type: str = msgspec.field(name="artifactType", default="")
    annotations: Mapping[str, str] = {}


class OciManifest(msgspec.Struct, frozen=True):
    """What is read of a manifest."""

    layers: tuple[OciBlob, ...] = ()
    artifact_type: str = msgspec.field(name="artifactType", default="")
    annotations: Mapping[str, str] = {}
    config: OciBlob | None = None

    def layer(self, kind: str) -> OciBlob | None:
        """The one layer of that type."""
        layers = [layer for layer in self.layers if layer.media_type == kind and DIGEST.fullmatch(layer.digest)]
        return layers[0] if len(layers) == 1 else None


class _Index(msgspec.Struct, frozen=True):
    """What is read of an index: what refers to a manifest."""

    manifests: tuple[OciBlob, ...] = ()


T = TypeVar("T", OciManifest, _Index)


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
        raise RegistryError("refuses these credentials, or requires some", where=where, do=LOGIN) from None


class OciRepository:
    """A repository of a registry, and the manifest in it that the address names."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        parts = urlsplit(url)
        match = _PLACE.fullmatch(parts.path)
        if not match or not parts.hostname or parts.query or parts.fragment:
            raise UsageError("is not an address of a registry", where=shown(url), do="use oci://HOST/NAME:TAG")
        self.where, self.name = shown(url), match["name"].rsplit("/", 1)[-1]
        self.container = Container(f"registry.invalid{parts.path}")
        self.container.registry = parts.netloc
        here = is_loopback(parts.hostname)
        self.session = Session(bounds.silence, here=here)
        self.client = self._client(insecure=here)

    def manifest(self) -> tuple[OciManifest, str]:
        """What the address names, and its digest.

        Raises NotFoundError, RegistryError where it is not what the address says.
        """
        wanted = self.container.digest
        content = self._manifest(wanted or self.container.tag)
        return read_document(content, OciManifest, self.where), wanted or digest_of_bytes(content)

    def referrers(self, subject: str, kind: str) -> list[OciManifest]:
        """The manifests of artefact type `kind` that refer to the manifest of that digest, those that came last.

        Raises RegistryError.
        """
        listed = [entry.digest for entry in self._index(subject).manifests if entry.artifact_type == kind]
        known = [digest for digest in listed if DIGEST.fullmatch(digest)][-_MOST_REFERRERS:]
        return [read_document(self._manifest(digest), OciManifest, self.where) for digest in known]

    def blob(self, digest: str) -> Source:
        """A blob, to be downloaded."""

        @contextmanager
        def open_from(start: int) -> Iterator[Part]:
            headers = {"Range": f"bytes={start}-"} if start else {}
            with self._request(self.container.get_blob_url(digest), "GET", headers=headers, stream=True) as answer:
                yield part_of(answer, start, self.where, LOGIN)

        return open_from

    def upload(self, file: Path, kind: str, digest: str) -> Descriptor:
        """Put a file's content, where it is not there yet; the layer that names it."""
        with file.open("rb") as stream:
            self.put_blob(stream, digest, file.stat().st_size)
        return descriptor(kind, digest, file.stat().st_size, {TITLE: file.name})

    def put(self, manifest: Mapping[str, object]) -> Descriptor:
        """Put a manifest under the address's tag; what names it. Raises RegistryError."""
        raw, named = described(manifest)
        self._put_manifest(self.container.tag, raw, MANIFEST_TYPE)
        return named

    def attach(self, file: Path, kind: str, subject: Descriptor, annotations: Mapping[str, str]) -> None:
        """Put a file as an artefact that refers to the manifest `subject`, which may come later. Raises RegistryError.

        A registry that does not know referrers gets them in an index under the tag that the specification says.
        """
        layer = self.upload(file, kind, digest_of(file))
        raw, named = described(
            {"artifactType": kind, "layers": [layer], "subject": subject, "annotations": dict(annotations)}
        )
        if self._put_manifest(str(named["digest"]), raw, MANIFEST_TYPE):
            return
        entry = named | {"artifactType": kind, "annotations": dict(annotations)}
        digest = str(subject["digest"])
        others = [msgspec.to_builtins(one) for one in self._index(digest).manifests if one.digest != named["digest"]]
        index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": [*others, entry]}
        self._put_manifest(_referrers_tag(digest), json.dumps(index).encode(), _INDEX_TYPE)

    def put_blob(self, content: IO[bytes] | bytes, digest: str, size: int) -> None:
        """Put a blob of `size` bytes where it is not there yet. Raises RegistryError."""
        if self._request(self.container.get_blob_url(digest), "HEAD").ok:
            return
        begun = self._ask(self.container.upload_blob_url(), "POST")
        place = urljoin(str(begun.url), begun.headers.get("Location", ""))
        if urlsplit(place)[:2] != urlsplit(str(begun.url))[:2]:
            raise RegistryError(f"wants uploads sent to {shown(place)}", where=self.where, do=_OWNER)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        place = append_url_params(place, {"digest": digest}).partition("://")[2]
        self._ask(place, "PUT", data=content, headers=headers)

    def _manifest(self, reference: str) -> bytes:
        answer = self._ask(self._place("manifests", reference), "GET", headers={"Accept": MANIFEST_TYPE})
        if DIGEST.fullmatch(reference) and reference != digest_of_bytes(answer.content):
            raise RegistryError(f"is not {reference}", where=self.where, do=_OWNER)
        return bytes(answer.content)

    def _put_manifest(self, reference: str, raw: bytes, kind: str) -> bool:
        """Whether the registry lists it among those that refer to another."""
        self.put_blob(_EMPTY, digest_of_bytes(_EMPTY), len(_EMPTY))
        answer = self._ask(self._place("manifests", reference), "PUT", data=raw, headers={"Content-Type": kind})
        return "OCI-Subject" in answer.headers

    def _index(self, subject: str) -> _Index:
        """What refers to a manifest, as the registry lists it, or as clients listed it in a tag."""
        for place in (self._place("referrers", subject), self._place("manifests", _referrers_tag(subject))):
            answer = self._request(place, "GET", headers={"Accept": _INDEX_TYPE})
            if answer.status_code != 404:
                require_good(answer, self.where, LOGIN)
                return read_document(answer.content, _Index, self.where)
        return _Index()

    def _place(self, kind: str, reference: str) -> str:
        return f"{self.container.registry}/v2/{self.container.api_prefix}/{kind}/{reference}"

    def _ask(self, place: str, method: str, **options: Any) -> requests.Response:
        answer = self._request(place, method, **options)
        require_good(answer, self.where, LOGIN)
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
                raise RegistryError("requires a user name and password", where=self.where, do=LOGIN)
            self.session.headers["Authorization"] = f"Basic {credentials}"
        return client


def read_document(content: bytes, kind: type[T], where: str) -> T:
    """A manifest or an index. Raises RegistryError for whatever is none."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # the second for what is not UTF-8
        raise RegistryError("holds no manifest", where=where, do="check the address") from None


def descriptor(kind: str, digest: str, size: int, annotations: Mapping[str, str]) -> Descriptor:
    """What names a blob or a manifest: its media type, digest, size in bytes."""
    named: Descriptor = {"mediaType": kind, "digest": digest, "size": size}
    return named | {"annotations": dict(annotations)} if annotations else named


def described(manifest: Mapping[str, object]) -> tuple[bytes, Descriptor]:
    """A manifest as it is put, with the empty config where it says none, and what names it."""
    config = descriptor(_EMPTY_TYPE, digest_of_bytes(_EMPTY), len(_EMPTY), {})
    raw = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config} | dict(manifest)).encode()
    return raw, descriptor(MANIFEST_TYPE, digest_of_bytes(raw), len(raw), {})


def _referrers_tag(digest: str) -> str:
    return digest.replace(":", "-")

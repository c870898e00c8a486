"""What the tests of registries share: a package, random enough not to be compressed, and servers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.package.builders import MANIFEST, MODEL
from tests.registry import servers
from tritonpm.catalogue.blobs import digest_of


def written(file: Path, version: str = "1.0") -> str:
    """A package at `file`; its digest."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("package.yaml", MANIFEST.replace('"1.0"', f'"{version}"'))
        archive.writestr("m.onnx", MODEL)
    return digest_of(file)


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, str]:
    """A package's .zip and its digest."""
    return tmp_path / "bolts.zip", written(tmp_path / "bolts.zip")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates here."""
    return trustme.CA()


@pytest.fixture
def web(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Web]:
    """An encrypted web server whose certificate is trusted."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with servers.web(authority.issue_cert("127.0.0.1")) as server:
        yield server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An OCI registry; HOST:PORT."""
    with servers.oci(tmp_path_factory.mktemp("oci") / "registry") as place:
        yield place

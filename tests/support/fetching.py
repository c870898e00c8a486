"""What the tests of registries do: write, push and fetch a package."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.support.archives import MANIFEST, MODEL
from tritonpm import registry
from tritonpm.core.files import digest_of
from tritonpm.registry.transfer import Bounds, DownloadTask


def written(file: Path, version: str = "1.0") -> str:
    """A package at `file`; its digest."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("package.yaml", MANIFEST.replace('"1.0"', f'"{version}"'))
        archive.writestr("m.onnx", MODEL)
    return digest_of(file)


SHORT = Bounds(attempts=2, silence=5)


def fetch(url: str, folder: Path, digest: str, bounds: Bounds = SHORT) -> Path:
    return registry.module(url).fetch(url, folder, DownloadTask(digest, bounds))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def push(file: Path, url: str, **told: bool) -> registry.Pushed:
    return registry.module(url).push(file, url, **told)


def signed(file: Path) -> Path:
    file.with_name(file.name + ".sig").write_text("{}")
    return file

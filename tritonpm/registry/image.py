"""A model repository as a container image that is only data: KServe mounts what lies in its /models.

One layer for each model, a tar without compression whose bytes depend on nothing but the files. Source: OCI image-spec
1.1 (layer.md, config.md); KServe, "Serving models with OCI images".
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tritonpm.core.files import digest_of

IMAGE_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_ROOT = "models"  # which KServe looks for
_FOLDER, _FILE = 0o755, 0o644  # whoever the server runs as reads them

ModelFiles = Mapping[str, tuple[int, Callable[[], IO[bytes]]]]  # path in a model's folder → bytes, what opens it


def write_layer(model: str, files: ModelFiles, target: Path) -> Path:
    """The layer of one model's folder, in a file. Raises OSError."""
    folders = {_ROOT, f"{_ROOT}/{model}"}
    folders |= {f"{_ROOT}/{model}/{parent}" for path in files for parent in Path(path).parents if parent.name}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER
            archive.addfile(entry)
        for path in sorted(files):
            size, opened = files[path]
            entry = tarfile.TarInfo(f"{_ROOT}/{model}/{path}")
            entry.size, entry.mode = size, _FILE
            with opened() as stream:
                archive.addfile(entry, stream)
    return target


def config(layers: Sequence[Path], labels: Mapping[str, str]) -> bytes:
    """The image's configuration: nothing to run, on whatever machine."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()

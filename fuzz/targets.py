"""One function for each parser. Bytes are read, or refused by a TritonpmError: whatever else happens is found.

What they write lies in memory, in a folder that goes with the process.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Format
from tritonpm.package import Limits, config, manifest, read, read_signature

LIMITS = Limits()


@cache
def folder() -> Path:
    """Where this process writes."""
    made = Path(tempfile.mkdtemp(prefix="tritonpm-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def written(name: str, data: bytes) -> Path:
    """A file with these bytes."""
    path = folder() / name
    path.write_bytes(data)
    return path


def a_manifest(data: bytes) -> None:
    """package.yaml."""
    manifest.parse(data, "package.yaml", LIMITS)


def an_onnx(data: bytes) -> None:
    """The tensors of an ONNX model."""
    read_signature(written("model.onnx", data), Format.ONNX)


def an_ir(data: bytes) -> None:
    """The tensors of an OpenVINO IR."""
    written("model.bin", b"\0" * 64)
    read_signature(written("model.xml", data), Format.OPENVINO)


def an_npz(data: bytes) -> None:
    """Samples: what is read is written and read again as the same."""
    from tritonpm.core.tensors import load_npz, save_npz

    arrays = load_npz(written("samples.npz", data))
    with suppress(TritonpmError):  # text that ends in NUL, which .npz cannot hold
        save_npz(folder() / "again.npz", arrays)


def a_zip(data: bytes) -> None:
    """An archive: what is unpacked lies in its folder."""
    from tritonpm.package.archive import stage_archive
    from tritonpm.package.staging import Staging

    staging = Path(tempfile.mkdtemp(dir=folder()))
    try:
        stage_archive(io.BytesIO(data), Staging(staging, "package.zip", LIMITS))
        assert all(path.is_file() or path.is_dir() for path in staging.rglob("*"))
    finally:
        shutil.rmtree(staging)


def a_package(data: bytes) -> None:
    """A package as a .zip, as far as it is read without running anything."""
    staging = Path(tempfile.mkdtemp(dir=folder()))
    try:
        read(written("package.zip", data), staging)
    finally:
        shutil.rmtree(staging)


def a_config(data: bytes) -> None:
    """The config.pbtxt of an adopted folder."""
    parsed = config.parse(data, "config.pbtxt")
    config.code_in(parsed)
    for backend in ("onnxruntime", "openvino"):
        list(config.refusals(parsed, backend, None))
    config.signature(parsed, None, "config.pbtxt")


def a_policy(data: bytes) -> None:
    """policy.yaml."""
    from tritonpm.operations.policy import _policy

    _policy(written("policy.yaml", data))


def an_attestation(data: bytes) -> None:
    """What lies beside a package as its attestations; only what the key of the seeds has signed counts."""
    from fuzz.seeds import ATTESTED, public_key
    from tritonpm.registry.attestation import AttestationPolicy, require_attested
    from tritonpm.registry.signing import Trust

    package, key = written("attested.zip", ATTESTED), written("line.pub", public_key())
    written("attested.zip.att", data)
    record = require_attested(package, AttestationPolicy(Trust((key,)), 0.9, "26.06"))
    assert (record.package, record.agreement) == ("p", 1.0)


def a_pack(data: bytes) -> None:
    """A registry's manifest of a ModelPack: its files lie in the package, each under one name."""
    from tritonpm.registry.modelpack import is_pack, pack_layers, unpacking
    from tritonpm.registry.oci_repository import OciManifest, read_document

    manifest = read_document(data, OciManifest, "oci://here/p:1")
    is_pack(manifest)
    staging = unpacking(folder(), "oci://here/p:1", 1 << 30)
    pack_layers(manifest, staging)
    require_inside(staging.paths.files)


def a_tar(data: bytes) -> None:
    """A layer of a ModelPack, packed: its files lie in the package, and are no longer than they say."""
    from tritonpm.registry.modelpack import files_of, unpacking
    from tritonpm.registry.oci_repository import OciBlob

    place = Path(tempfile.mkdtemp(dir=folder()))
    kind = {b"\x1f\x8b": "tar+gzip", b"\x28\xb5": "tar+zstd"}.get(data[:2], "tar")
    layer = OciBlob(f"application/vnd.cncf.model.weight.v1.{kind}", "sha256:" + "0" * 64, len(data))
    try:
        files = files_of(layer, written("layer.tar", data), unpacking(place, "oci://here/p:1", 1 << 20))
        require_inside(files)
        assert all(path.is_file() and not path.is_symlink() for path in files.values())
    finally:
        shutil.rmtree(place)


def require_inside(paths: Iterable[str]) -> None:
    """No path leads out of the package."""
    for path in paths:
        assert not path.startswith("/"), path
        assert ".." not in path.split("/"), path


def a_plan(data: bytes) -> None:
    """A TensorRT plan, a TorchScript or PyTorch 2 archive: told by their beginnings."""
    for name in ("model.plan", "model.pt", "model.pt2"):
        with suppress(TritonpmError):
            read_signature(written(name, data))


def a_declaration(data: bytes) -> None:
    """tritonpm.yaml, as `plan` and `apply` read it."""
    from tritonpm.operations.declaration import read as declared

    declared(written("tritonpm.yaml", data))


ROUTES = (
    ("POST", "/packages/p/settings/check", "application/json"), ("PATCH", "/packages/p/settings", "application/json"),
    ("PUT", "/packages/p/projects/line", "application/json"), ("POST", "/packages/p/infer", "application/octet-stream"),
    ("POST", "/inspections?filename=p.zip", "application/octet-stream"),
    ("POST", "/inspections?filename=p.onnx", "application/octet-stream"),
    ("POST", "/packages/p/calibration?filename=p.npz", "application/octet-stream"),
)  # fmt: skip


def a_body(data: bytes) -> None:
    """A body of the REST API, the route chosen by the first byte: no answer is a bug of ours, and the package stays."""
    if not data:
        return
    method, path, kind = ROUTES[data[0] % len(ROUTES)]
    loop = _loop()
    status, answer = loop.run_until_complete(_asked(method, path, kind, data[1:]))
    assert status != 500, answer
    if status < 300:
        assert loop.run_until_complete(_asked("GET", "/packages/p", "", b""))[0] == 200


async def _asked(method: str, path: str, kind: str, body: bytes) -> tuple[int, str]:
    import httpx

    transport = httpx.ASGITransport(_page())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1") as client:
        answer = await client.request(method, path, content=body, headers={"content-type": kind})
    return answer.status_code, answer.text


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _page() -> Any:
    """A page whose workspace has a package."""
    from fuzz.seeds import package
    from tritonpm.operations.context import open_context
    from tritonpm.operations.import_package import import_package
    from tritonpm.operations.init import init
    from tritonpm.web.app import create
    from tritonpm.web.security import PageAccess

    root = folder() / "workspace"
    init(root)
    with open_context(root) as context:
        import_package(context, written("p.zip", package()), name="p")
    return create(root, access=PageAccess(changes=1e9, burst=1 << 30))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "manifest": a_manifest, "onnx": an_onnx, "ir": an_ir, "npz": an_npz, "zip": a_zip, "package": a_package,
    "config": a_config, "policy": a_policy, "plan": a_plan, "declaration": a_declaration, "rest": a_body,
    "attestation": an_attestation, "pack": a_pack, "tar": a_tar,
}  # fmt: skip


def tried(target: str, data: bytes) -> bool:
    """Whether `data` was read, not refused. Raises whatever is no refusal."""
    try:
        TARGETS[target](data)
    except TritonpmError as refusal:
        json.dumps(str(refusal)).encode()  # a sentence that can be printed
        return False
    return True

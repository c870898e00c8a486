"""What a client hands in: streamed to a folder of its own in staging, within limits, and looked at only there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from starlette.requests import Request

from tritonpm.convert.calibration import FILES
from tritonpm.core.errors import PackageError, StorageError
from tritonpm.core.files import storage_error
from tritonpm.package.paths import name_from
from tritonpm.web.held import Upload
from tritonpm.web.site import Site
from tritonpm.web.uploads import Incoming

SUFFIXES = (".zip", ".onnx", ".plan", ".engine", ".pt", ".pt2", ".keras", ".tflite", ".npz")
SAMPLES = (".zip", *FILES)  # what INT8 is calibrated on
_BLOCK = 1 << 20
_SPARE = 256 << 20  # bytes that stay free on the disk


def safe_name(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """A file's name as it may be on the disk: a package name and a known suffix. Raises PackageError.

    One of which no letter is left, as of a Chinese one, is `model`.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    suffix = PurePosixPath(last).suffix.lower()
    stem = name_from(PurePosixPath(last).stem) or "model"
    if suffix not in suffixes:
        raise PackageError(f"a file named {last[:80]!r} cannot be taken", do=f"provide one of {', '.join(suffixes)}")
    return stem + suffix


async def received(site: Site, request: Request, name: str, suffixes: tuple[str, ...] = SUFFIXES) -> Upload:
    """The body of a request as a file. Raises PackageError, StorageError, BusyError; nothing is left of half a file."""
    called, held = safe_name(name, suffixes), ExitStack()
    path = held.enter_context(site.workspace.scratch("upload")) / called
    try:
        async with site.uploads.place(request.client.host if request.client else "") as incoming:
            _require_room(path.parent, int(request.headers.get("content-length", 0)))
            await _stream(request, path, incoming)
    except BaseException:
        held.close()
        raise
    return Upload(path, held)


async def _stream(request: Request, path: Path, incoming: Incoming) -> None:
    try:
        with path.open("xb") as file:
            block, parts = bytearray(), request.stream()
            while (chunk := await incoming.next(parts)) is not None:
                block += chunk
                if len(block) >= _BLOCK:
                    await asyncio.to_thread(file.write, bytes(block))
                    block.clear()
            file.write(block)
    except OSError as error:
        raise storage_error(error, path.parent) from None


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size + _SPARE:
        raise StorageError("the disk has no room for this file", do="make room and try again")


@contextmanager
def inputs_of(site: Site, body: bytes) -> Iterator[Path | None]:
    """The inputs of one inference as a file, None where there are none."""
    with site.workspace.scratch("try") as folder:
        inputs = folder / "inputs"
        if body:
            inputs.write_bytes(body)
        yield inputs if body else None


@contextmanager
def unpacked(site: Site, path: Path) -> Iterator[Path]:
    """What a .zip of samples holds, as a folder; another file as it is. Raises PackageError."""
    from tritonpm.package.archive import stage_archive
    from tritonpm.package.limits import Limits
    from tritonpm.package.staging import Staging

    if path.suffix != ".zip":
        yield path
        return
    with site.workspace.scratch("samples") as folder:
        with path.open("rb") as stream:
            stage_archive(stream, Staging(folder, path.name, Limits()))
        yield folder

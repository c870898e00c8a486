"""Tars: what several tools write is read the same way; what a tar can hold besides files is not."""

from __future__ import annotations

import io
import tarfile

import pytest

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.package.limits import Limits
from tritonpm.package.tar import tar_members

LONG = f"weights/{'n' * 90}/{'m' * 120}.onnx"


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for made, content in entries:
            archive.addfile(made, io.BytesIO(content))
    return stream.getvalue()


def files(raw: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    members = tar_members(io.BytesIO(raw), "layer.tar", limits or Limits())
    return {path: b"".join(contents) for path, contents in members}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form(form: int) -> None:
    name = LONG if form != tarfile.USTAR_FORMAT else f"{'w' * 120}/m.onnx"
    raw = tar(
        entry(".", type=tarfile.DIRTYPE), entry("./weights", type=tarfile.DIRTYPE), entry("old/"),
        entry(f"./{name}", bytes(1000)), entry("labels.txt", b"bolt"), entry("empty"), form=form,
    )  # fmt: skip
    assert files(raw) == {name: bytes(1000), "labels.txt": b"bolt", "empty": b""}


def test_what_is_not_read_is_passed_over() -> None:
    raw = tar(entry("a", bytes(3000)), entry("b", b"b"))
    assert [path for path, _ in tar_members(io.BytesIO(raw), "layer.tar", Limits())] == ["a", "b"]


def renamed_for_all() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers={"path": "other"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return stream.getvalue()


GOOD = tar(entry("a", b"a"))
REFUSED = {
    "symbolic link": (tar(entry("a", type=tarfile.SYMTYPE, linkname="b")), UnsafeError),
    "hard link": (tar(entry("a", type=tarfile.LNKTYPE, linkname="b")), UnsafeError),
    "device": (tar(entry("a", type=tarfile.CHRTYPE)), UnsafeError),
    "FIFO": (tar(entry("a", type=tarfile.FIFOTYPE)), UnsafeError),
    "sparse": (tar(entry("a", pax_headers={"GNU.sparse.major": "1"})), UnsafeError),
    "one name for all": (renamed_for_all(), UnsafeError),
    "setuid": (tar(entry("a", mode=0o4755)), UnsafeError),
    "a folder that leads out": (tar(entry("../a", type=tarfile.DIRTYPE)), UnsafeError),
    "a long header": (tar(entry("a" * 70_000, b"a")), UnsafeError),
    "not UTF-8": (tar(entry("caf\udce9"), form=tarfile.GNU_FORMAT), UnsafeError),
    "data behind its end": (GOOD + b"more", UnsafeError),
    "zeros without end": (GOOD + bytes(2 << 20), UnsafeError),
    "a checksum that is wrong": (b"b" + GOOD[1:], PackageError),
    "cut off": (GOOD[:600], PackageError),
    "nothing": (b"", PackageError),
    "text": (b"text" * 400, PackageError),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str) -> None:
    raw, error = REFUSED[what]
    with pytest.raises(error):
        files(raw)


def test_too_many() -> None:
    raw = tar(*(entry(str(number)) for number in range(40)))
    with pytest.raises(UnsafeError, match="more than 10 files"):
        files(raw, Limits(entries=10))

"""Tar archives, read strictly from a stream: plain files under plain paths, or nothing.

Links, devices, sparse files and whatever else a tar may hold are refused; nothing of one but a path and a size counts.
Source: POSIX.1-2017 pax (ustar and extended headers), the GNU tar manual (long names, sizes of more than 8 GiB).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.units import KIB, MIB
from tritonpm.package.limits import Limits
from tritonpm.package.paths import problem
from tritonpm.package.staging import CHUNK, check_mode

_BLOCK = 512
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"
_LONG_NAME, _PAX, _PAX_ALL = b"L", b"x", b"g"
_MOST = 64 * KIB  # bytes of an extended header
_HEADERS = 3  # of one file: its own, and its path and size in others
_PADDING = MIB  # of zeros, by which a tar is longer than what it holds
_SPARSE, _OWN = "GNU.sparse", ("path", "size")
_REPACK = "pack it again with an ordinary tar"


def tar_members(stream: IO[bytes], where: str, limits: Limits) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files, each as its path and its contents in pieces, which are read before the next is asked for.

    Raises UnsafeError for what is hostile, PackageError for what is broken.
    """
    pax: dict[str, str] = {}
    long_name, headers = "", 0
    while (header := _header(stream, where)) is not None:
        headers += 1
        if headers > limits.entries * _HEADERS:
            raise UnsafeError(f"holds more than {limits.entries} files and folders", where=where, do="provide fewer")
        kind, size = header[156:157], _number(header[124:136], where)
        if kind == _LONG_NAME:
            long_name = _decoded(_extended(stream, size, where).rstrip(b"\0"), where)
            continue
        if kind in (_PAX, _PAX_ALL):
            records = _records(_extended(stream, size, where), where)
            if _SPARSE in records or (kind == _PAX_ALL and records.keys() & _OWN):
                raise UnsafeError("holds a sparse file, or a name for all its files", where=where, do=_REPACK)
            pax = records if kind == _PAX else pax
            continue
        name = pax.get("path", "") or long_name or _name(header, where)
        size = _decimal(pax["size"], where) if "size" in pax else size
        path, folder, pax, long_name = _plain(name), kind == _FOLDER or name.endswith("/"), {}, ""
        if folder and (size or (path and problem(path, limits))):
            raise UnsafeError(f"{path[:99]!r} is not a plain folder", where=where, do=_REPACK)
        if kind not in (*_FILES, _FOLDER):
            raise UnsafeError(f"{path[:99]!r} is not a plain file", where=where, do=_REPACK)
        if folder:
            continue
        check_mode(path, _number(header[100:108], where), where)
        contents = _contents(stream, size, where)
        yield path, contents
        for _ in contents:  # what was not read
            pass


def _header(stream: IO[bytes], where: str) -> bytes | None:
    """The next header; None at the end, behind which only zeros may follow."""
    header = _exactly(stream, _BLOCK, where)
    if not any(header):
        rest = stream.read(_PADDING + 1)
        if len(rest) > _PADDING or any(rest):
            raise UnsafeError("has data after its end", where=where, do=_REPACK)
        return None
    told = _number(header[148:156], where)
    if told != sum(header) - sum(header[148:156]) + 8 * 0x20:
        raise PackageError("is not a tar, or is damaged", where=where, do=_REPACK)
    return header


def _exactly(stream: IO[bytes], size: int, where: str) -> bytes:
    pieces = []
    while size and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    if size:
        raise PackageError("is not a tar, or is cut off", where=where, do="provide the whole file")
    return b"".join(pieces)


def _contents(stream: IO[bytes], size: int, where: str) -> Iterator[bytes]:
    """The contents of a file in pieces, and past what fills its last block."""
    left = size
    while left:
        piece = _exactly(stream, min(left, CHUNK), where)
        left -= len(piece)
        yield piece
    _exactly(stream, -size % _BLOCK, where)


def _extended(stream: IO[bytes], size: int, where: str) -> bytes:
    if size > _MOST:
        raise UnsafeError(f"has a header of more than {_MOST // KIB} KiB", where=where, do=_REPACK)
    return b"".join(_contents(stream, size, where))


def _records(text: bytes, where: str) -> dict[str, str]:
    """The records of a pax header: `LENGTH KEY=VALUE\\n` each."""
    records: dict[str, str] = {}
    while text.strip(b"\0"):
        length, blank, _ = text.partition(b" ")
        size = _decimal(_decoded(length, where), where)
        record, text = text[len(length) + 1 : size], text[size:]
        key, equals, value = record.partition(b"=")
        if not blank or not equals or not value.endswith(b"\n"):
            raise PackageError("has a header that is damaged", where=where, do=_REPACK)
        name = _SPARSE if key.startswith(b"GNU.sparse.") else key.decode(errors="replace")
        records[name] = _decoded(value[:-1], where) if name in _OWN else ""  # others may hold any bytes
    return records


def _plain(name: str) -> str:
    """A path as a package has it: tar writes `./a` for `a`, and `a/` for a folder."""
    path = name.rstrip("/") or name
    while path.startswith("./"):
        path = path[2:]
    return "" if path == "." else path


def _name(header: bytes, where: str) -> str:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    ustar = header[257:263] == b"ustar\0"  # GNU's header has other fields in place of the prefix
    return _decoded(b"/".join((prefix, name)) if ustar and prefix else name, where)


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UnsafeError(f"{raw[:99]!r} is a name that readers decode differently", where=where, do=_REPACK) from None


def _number(field: bytes, where: str) -> int:
    """A number in octal digits, or where its first bit is set in binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if not all(digit in b"01234567" for digit in digits):
        raise PackageError("is not a tar, or is damaged", where=where, do=_REPACK)
    return int(digits or b"0", 8)


def _decimal(digits: str, where: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise PackageError("has a header that is damaged", where=where, do=_REPACK)
    return int(digits)

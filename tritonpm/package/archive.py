"""Zip archives, read strictly: one meaning for every reader, or none.

Every byte of the file must belong to exactly one entry, the central directory or its end record, and what a local
header says must be what the central directory says: no room for hidden, overlapping, prepended or appended data.
Sizes are checked before anything is unpacked and again while it is. An archive inside the archive is a plain file.
Source: PKWARE APPNOTE 6.3.10.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.units import KIB, human
from tritonpm.package.limits import Limits
from tritonpm.package.staging import CHUNK, Staging, check_mode

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
_EMPTY = b"\x03\0"  # nothing, deflated
_SLACK = 64  # bytes that deflate may need beyond what it packs
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x2041, 0x0008, 0x0800
_KNOWN_FLAGS = 0x0006 | _DESCRIPTOR | _UTF8
_ZIP64, _UNIX_LINK, _UNICODE_PATH = 0x0001, 0x000D, 0x7075
_REPACK = "pack it again with an ordinary zip tool"


@dataclass(frozen=True)
class ArchiveMember:
    """One entry as the central directory describes it."""

    path: str
    folder: bool
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def is_zip(start: bytes) -> bool:
    """Whether a file that begins with these bytes means to be a zip."""
    return start[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def stage_archive(stream: BinaryIO, staging: Staging) -> str:
    """Unpack a zip into `staging`. Returns the one folder that held everything ("": none), which is left out there.

    Raises UnsafeError for what is hostile, PackageError for what is broken.
    """
    size = stream.seek(0, os.SEEK_END)
    entries, end = _directory(stream, size, staging.where, staging.limits)
    _check_sizes(entries, size, staging)
    folder = _common_folder(entries)
    inside = [(entry, entry.path[len(folder) + 1 :] if folder else entry.path) for entry in entries]
    for entry, path in inside:
        if path:
            staging.paths.add(path, folder=entry.folder)
    starts = _check_layout(stream, entries, end, staging.where)
    for entry, path in inside:
        if entry.folder:
            if entry.packed or entry.method == _STORED:
                list(_unpacked(stream, entry, starts[entry.offset], staging.where))  # nothing, and its CRC says so
            staging.folder(path)
        else:
            staging.write(path, _unpacked(stream, entry, starts[entry.offset], staging.where))
    return folder


def _common_folder(entries: list[ArchiveMember]) -> str:
    """The folder that everything lies in, if there is one and it is no version folder (`zip -r bolts.zip bolts`)."""
    first = {entry.path.split("/")[0] for entry in entries}
    if len(first) != 1 or any("/" not in entry.path and not entry.folder for entry in entries):
        return ""
    folder = first.pop()
    return "" if folder in ("", ".", "..") or folder.isdigit() else folder


def _directory(stream: BinaryIO, size: int, where: str, limits: Limits) -> tuple[list[ArchiveMember], int]:
    """The entries and where the central directory begins."""
    count, length, offset = end_of_directory(stream, size, where)
    if count > limits.entries or length > limits.entries * 2 * KIB:
        raise UnsafeError(f"holds more than {limits.entries} files and folders", where=where, do="provide fewer")
    stream.seek(offset)
    raw = stream.read(length)
    entries, at = [], 0
    for _ in range(count):
        entry, at = _entry(raw, at, where)
        entries.append(entry)
    if at != len(raw):
        raise PackageError("has a directory that is damaged", where=where, do=_REPACK)
    return entries, offset


def end_of_directory(stream: BinaryIO, size: int, where: str) -> tuple[int, int, int]:
    """(number of entries, length and offset of the central directory) from the end records."""
    tail_at = max(0, size - _END.size - _FULL16)
    stream.seek(tail_at)
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise PackageError("is not a zip, or is cut off", where=where, do="provide the whole file")
    _, disk, first_disk, here, count, length, offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise UnsafeError("has data before, between or after its entries", where=where, do=_REPACK)
    ends_at = tail_at + at
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        ends_at, *wide = _end64(stream, ends_at - _LOCATOR.size, where)
        for narrow, full, exact in zip((count, length, offset), (_FULL16, _FULL32, _FULL32), wide, strict=True):
            if narrow not in (full, exact):
                raise _contradiction(where)
        here, (count, length, offset) = wide[0], wide
    if disk or first_disk or here != count:
        raise PackageError("is one part of a split archive", where=where, do="join its parts")
    if offset + length != ends_at:
        raise UnsafeError("has data before, between or after its entries", where=where, do=_REPACK)
    return count, length, offset


def _end64(stream: BinaryIO, at: int, where: str) -> tuple[int, int, int, int]:
    """(its own offset, number of entries, length, offset) of the ZIP64 end record that the locator at `at` names."""
    stream.seek(at)
    _, disk, start, disks = _LOCATOR.unpack(stream.read(_LOCATOR.size))
    if disk or disks > 1 or start != at - _END64.size:
        raise _contradiction(where)
    stream.seek(start)
    signature, own, _, _, disk, first_disk, here, count, length, offset = _END64.unpack(stream.read(_END64.size))
    if signature != b"PK\x06\x06" or own != _END64.size - 12 or disk or first_disk or here != count:
        raise _contradiction(where)
    return start, count, length, offset


def _contradiction(where: str) -> UnsafeError:
    return UnsafeError("has a ZIP64 record that contradicts it", where=where, do=_REPACK)


def _entry(raw: bytes, at: int, where: str) -> tuple[ArchiveMember, int]:
    """The entry at `at` of the central directory, and where the next begins."""
    damaged = PackageError("has a directory that is damaged", where=where, do=_REPACK)
    if len(raw) - at < _CENTRAL.size or raw[at : at + 4] != b"PK\x01\x02":
        raise damaged
    record = _CENTRAL.unpack_from(raw, at)
    flags, method = record[3:5]
    crc, packed, size, name_length, extra_length, comment_length = record[7:13]
    attributes, offset = record[15:17]
    name_at = at + _CENTRAL.size
    extra_at = name_at + name_length
    end = extra_at + extra_length + comment_length
    if end > len(raw):
        raise damaged
    raw_name = raw[name_at:extra_at]
    path = _decoded(raw_name, flags, where)
    extra = _extra(raw[extra_at : extra_at + extra_length], path, where)
    size, packed, offset = _widened(extra, (size, packed, offset), path, where)
    _check_entry(path, flags, method, packed, size, attributes >> 16, where)
    folder = path.endswith("/")
    return ArchiveMember(path.removesuffix("/"), folder, raw_name, flags, method, crc, packed, size, offset), end


def _decoded(raw_name: bytes, flags: int, where: str) -> str:
    try:
        return raw_name.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise UnsafeError(f"{raw_name!r} is a name that readers decode differently", where=where, do=_REPACK) from None


def _extra(raw: bytes, path: str, where: str) -> dict[int, bytes]:
    """The extra fields of an entry by their id. Refused: a second name, a link."""
    fields: dict[int, bytes] = {}
    while len(raw) >= 4:
        kind, length = struct.unpack_from("<2H", raw)
        if length > len(raw) - 4 or kind in fields or kind == _UNICODE_PATH or (kind == _UNIX_LINK and length > 12):
            raise UnsafeError(f"{path!r} has an extra field that is broken or renames it", where=where, do=_REPACK)
        fields[kind], raw = raw[4 : 4 + length], raw[4 + length :]
    return fields


def _widened(extra: dict[int, bytes], values: tuple[int, ...], path: str, where: str) -> list[int]:
    """`values` with each that says "see ZIP64" replaced by what the ZIP64 field says, in its order."""
    wide, result = extra.get(_ZIP64, b""), []
    for value in values:
        if value != _FULL32:
            result.append(value)
            continue
        if len(wide) < 8:
            raise _contradiction(where)
        result.append(int.from_bytes(wide[:8], "little"))
        wide = wide[8:]
    return result


def _check_entry(path: str, flags: int, method: int, packed: int, size: int, mode: int, where: str) -> None:
    if flags & _ENCRYPTED:
        raise PackageError(f"{path!r} is encrypted", where=where, do="pack it without a password")
    if method not in (_STORED, _DEFLATED) or flags & ~_KNOWN_FLAGS:
        raise PackageError(f"{path!r} is packed by a method other than store or deflate", where=where, do=_REPACK)
    check_mode(path, mode, where)
    if stat.S_IFMT(mode) and path.endswith("/") != stat.S_ISDIR(mode):
        raise UnsafeError(f"{path!r} is both a file and a folder", where=where, do=_REPACK)
    nothing = 0 if method == _STORED else len(_EMPTY)
    if path.endswith("/") and packed not in (0, nothing):
        raise UnsafeError(f"{path!r} is a folder and has content", where=where, do=_REPACK)
    if (path.endswith("/") and size) or (method == _STORED and packed != size) or packed > size + size // 64 + _SLACK:
        raise UnsafeError(f"{path!r} has sizes that contradict each other", where=where, do=_REPACK)


def _check_sizes(entries: list[ArchiveMember], size: int, staging: Staging) -> None:
    total, limits = sum(entry.size for entry in entries), staging.limits
    if total > limits.ratio_floor and total > limits.ratio * size:
        raise UnsafeError(
            f"unpacks {human(size)} to {human(total)}, more than {limits.ratio} times as much",
            where=staging.where,
            do="provide the folder instead",
        )
    staging.expect(total)


def _check_layout(stream: BinaryIO, entries: list[ArchiveMember], end: int, where: str) -> dict[int, int]:
    """Where the data of each entry begin, by its offset; every local header agrees and the entries leave no gap."""
    starts: dict[int, int] = {}
    ordered = sorted(entries, key=lambda entry: entry.offset)
    begins = [entry.offset for entry in ordered] + [end]
    if begins[0]:
        raise UnsafeError("has data before, between or after its entries", where=where, do=_REPACK)
    for entry, next_offset in zip(ordered, begins[1:], strict=True):
        starts[entry.offset] = _local_header(stream, entry, where)
        _check_gap(stream, entry, starts[entry.offset] + entry.packed, next_offset, where)
    return starts


def _local_header(stream: BinaryIO, entry: ArchiveMember, where: str) -> int:
    """Where the entry's data begin, after its local header was found to agree with the directory."""
    stream.seek(entry.offset)
    raw = stream.read(_LOCAL.size)
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise UnsafeError(f"{entry.path!r} is not where the directory says", where=where, do=_REPACK)
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(raw)
    name = stream.read(name_length)
    extra = _extra(stream.read(extra_length), entry.path, where)
    size, packed = _widened(extra, (size, packed), entry.path, where)
    same_sizes = (crc, packed, size) == (entry.crc, entry.packed, entry.size)
    told_later = bool(entry.flags & _DESCRIPTOR) and not (crc or packed or size)
    same_entry = (name, flags, method) == (entry.raw_name, entry.flags, entry.method)
    if not same_entry or not (same_sizes or told_later):
        raise UnsafeError(f"{entry.path!r} is described in two ways that differ", where=where, do=_REPACK)
    return entry.offset + _LOCAL.size + int(name_length) + int(extra_length)


def _check_gap(stream: BinaryIO, entry: ArchiveMember, data_end: int, next_offset: int, where: str) -> None:
    """Between two entries lies nothing, or the data descriptor that the first announced."""
    gap = next_offset - data_end
    valid = gap == 0
    if entry.flags & _DESCRIPTOR:
        stream.seek(data_end)
        raw = stream.read(gap) if gap in (12, 16, 20, 24) else b""
        body = raw.removeprefix(b"PK\x07\x08") if gap in (16, 24) else raw
        layout = {12: "<3L", 20: "<L2Q"}.get(len(body))
        valid = layout is not None and struct.unpack(layout, body) == (entry.crc, entry.packed, entry.size)
    if not valid:
        raise UnsafeError(f"{entry.path!r} overlaps another entry, or leaves a gap", where=where, do=_REPACK)


def _unpacked(stream: BinaryIO, entry: ArchiveMember, start: int, where: str) -> Iterator[bytes]:
    """The entry's contents in pieces, checked against its size and CRC."""
    stream.seek(start)
    crc, size = 0, 0
    for chunk in _inflated(stream, entry, where) if entry.method == _DEFLATED else _packed(stream, entry):
        size += len(chunk)
        if size > entry.size:
            raise UnsafeError(f"{entry.path!r} is larger than the archive says", where=where, do=_REPACK)
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != entry.size or crc != entry.crc:
        raise _damaged(entry, where)


def _damaged(entry: ArchiveMember, where: str) -> PackageError:
    return PackageError(f"{entry.path!r} is damaged (its CRC or size is wrong)", where=where, do="copy it again")


def _packed(stream: BinaryIO, entry: ArchiveMember) -> Iterator[bytes]:
    left = entry.packed
    while left and (chunk := stream.read(min(left, CHUNK))):
        left -= len(chunk)
        yield chunk


def _inflated(stream: BinaryIO, entry: ArchiveMember, where: str) -> Iterator[bytes]:
    """Inflated in pieces of at most `CHUNK` bytes, so that a bomb is noticed before it goes off."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in _packed(stream, entry):
            waiting = piece
            while not inflater.eof and (chunk := inflater.decompress(waiting, CHUNK)):
                yield chunk
                waiting = inflater.unconsumed_tail
    except zlib.error:
        raise _damaged(entry, where) from None
    if not inflater.eof or inflater.unused_data:
        raise _damaged(entry, where)

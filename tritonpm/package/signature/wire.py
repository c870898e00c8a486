"""The small part of an ONNX file: everything but the weights, found by walking the protobuf wire format.

A multi-gigabyte model is mapped, never read: of each message only the fields named in `_KEEP` are copied, and the short
ones of `_KEEP_SMALL`; nested messages of `_INSIDE` are walked, and everything else (payloads above all) is stepped over
by its length.
Source: the protobuf encoding document; field numbers from onnx.proto.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.units import MIB
from tritonpm.package.limits import Limits

_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_KEEP = {
    "model": {1, 2, 8, 14},  # ir_version, producer_name, opset_import, metadata_props
    "training": set(),
    "graph": {11, 12, 13},  # input, output, value_info
    "function": {1, 9, 10},  # name, opset_import, domain
    "node": {1, 2, 4, 7},  # input, output, op_type, domain
    "attribute": {1, 2, 3, 20},  # name, f, i, type
    "sparse": set(),
    "tensor": {1, 2, 8, 13, 14},  # dims, data_type, name, external_data, data_location
}
_RUN_OF_NUMBERS = 0  # in place of a field's number: no field has it
# What the types of a graph may follow from: texts, numbers and shapes that nodes are told.
_KEEP_SMALL = {
    "attribute": {4, 7, 8, 14, _RUN_OF_NUMBERS},  # s, floats, ints, tp
    "tensor": {5, 7, 9},  # int32_data, int64_data, raw_data
}
_SMALL = 1024  # bytes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_CHUNK = MIB
_DEPTH = 100  # protobuf's own limit
# Unpacked floats (field 7) and ints (field 8) in an attribute: a forest of decision trees has millions of them. So many
# at a time, since `re` remembers each.
_RUN = re.compile(rb"(?:\x3d[\s\S]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,4096}")


@dataclass
class _Walk:
    data: mmap.mmap
    where: str
    kept: int  # bytes that may still be kept
    steps: int  # fields that may still be walked over

    def broken(self) -> PackageError:
        return PackageError("is not an ONNX model, or is cut off", where=self.where, do="export or copy it again")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """(value, where it ends)"""
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise self.broken()

    def fields(self, at: int, end: int, kind: str, depth: int) -> Iterator[tuple[int, int, int, int]]:
        """(where it begins, its tag, where its body begins, where it ends) of each field; a run of numbers is one."""
        if depth > _DEPTH:
            raise UnsafeError(f"is nested more than {_DEPTH} deep", where=self.where, do="export it again")
        while at < end:
            start = at
            while kind == "attribute" and (run := _RUN.match(self.data, at, end)):
                at = run.end()
            if at > start:
                yield start, _RUN_OF_NUMBERS, start, at
                continue
            tag, at = self.varint(at, end)
            body, at = self._field(tag & 7, at, end)
            yield start, tag, body, at

    def message(self, at: int, end: int, kind: str, depth: int) -> bytes:
        """The message between `at` and `end` without what is not kept."""
        inside, keep, short, parts = _INSIDE[kind], _KEEP[kind], _KEEP_SMALL.get(kind, set()), []
        for start, tag, body, after in self.fields(at, end, kind, depth):
            number = tag >> 3
            if number in inside and tag & 7 == _BYTES:
                small = self.message(body, after, inside[number], depth + 1)
                parts += [self.data[start : start + 1] if tag < 0x80 else _encoded(tag), _encoded(len(small)), small]
            elif number in keep or (number in short and after - start <= _SMALL):
                self._spend(after - start)
                parts.append(self.data[start:after])
        return b"".join(parts)

    def _field(self, wire: int, at: int, end: int) -> tuple[int, int]:
        """(where the field's body begins, where it ends)"""
        self.steps -= 1
        if self.steps < 0:
            raise UnsafeError("has too many parts to be looked through", where=self.where, do="export it again")
        if wire == _VARINT:
            return at, self.varint(at, end)[1]
        if wire == _BYTES:
            length, at = self.varint(at, end)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise self.broken()
        if length > end - at:
            raise self.broken()
        return at, at + length

    def _spend(self, size: int) -> None:
        self.kept -= size
        if self.kept < 0:
            raise UnsafeError("has a graph too large to be read, even without its weights", where=self.where,
                              do="export it again")  # fmt: skip


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


Piece = tuple[int, int] | bytes  # a stretch of the file, or what takes the place of one
_EXTERNAL = 13  # a tensor's external_data


def relocate(data: mmap.mmap, places: Mapping[str, str], where: str, limits: Limits) -> Iterator[bytes]:
    """The same ModelProto, byte for byte, in which every external location is another: `places`, new by old.

    Raises PackageError, UnsafeError.
    """
    walk = _Walk(data, where, limits.graph, limits.graph_parts)
    for piece in _relocated(walk, 0, len(data), "model", places, 0)[0]:
        if isinstance(piece, bytes):
            yield piece
            continue
        for at in range(piece[0], piece[1], _CHUNK):
            yield data[at : min(piece[1], at + _CHUNK)]


def _relocated(
    walk: _Walk, at: int, end: int, kind: str, places: Mapping[str, str], depth: int
) -> tuple[list[Piece], int]:
    """(a message in pieces, how long they are)"""
    pieces: list[Piece] = []
    begun = at
    size, inside = 0, _INSIDE[kind]
    for start, tag, body, after in walk.fields(at, end, kind, depth):
        moved: list[Piece] = []
        if tag & 7 == _BYTES and tag >> 3 in inside:
            moved, length = _relocated(walk, body, after, inside[tag >> 3], places, depth + 1)
        elif tag & 7 == _BYTES and kind == "tensor" and tag >> 3 == _EXTERNAL:
            moved = [_entry(walk.data[body:after], places, walk)]
            length = len(moved[0])
        if not any(isinstance(piece, bytes) for piece in moved):
            continue  # nothing in it is another
        header = _encoded(tag) + _encoded(length)
        pieces += [(begun, start), header, *moved]
        size += start - begun + len(header) + length
        begun = after
    return [*pieces, (begun, end)], size + end - begun


def _entry(raw: bytes, places: Mapping[str, str], walk: _Walk) -> bytes:
    from google.protobuf.message import DecodeError
    from onnx import StringStringEntryProto

    try:
        entry = StringStringEntryProto.FromString(raw)
    except DecodeError:
        raise walk.broken() from None
    if entry.key == "location":
        if entry.value not in places:
            raise walk.broken()
        entry.value = places[entry.value]
    return bytes(entry.SerializeToString(deterministic=True))


def skim(data: mmap.mmap, where: str, limits: Limits) -> bytes:
    """A serialized ModelProto with the graph's shape and without its weights. Raises PackageError, UnsafeError."""
    return _Walk(data, where, limits.graph, limits.graph_parts).message(0, len(data), "model", 0)

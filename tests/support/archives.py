"""Small real models, and sources made of them: folders, zips, zips with one thing wrong."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

MANIFEST = """\
schema: 1
name: bolts
version: "1.0"
exporter: {name: hand, version: "1"}
stages:
  - {name: detect, task: object-detection, model: m.onnx}
"""
IR = """<?xml version="1.0"?>
<net name="n" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,3" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>-1</dim><dim>3</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="opset1"><data element_type="f32" shape="1,3" offset="0" size="12"/>
<output><port id="0" precision="FP32"><dim>1</dim><dim>3</dim></port></output></layer>
<layer id="2" name="add" type="Add" version="opset1"><input><port id="0"/><port id="1"/></input>
<output><port id="2" precision="FP32" names="y"><dim>-1</dim><dim>3</dim></port></output></layer>
<layer id="3" name="r" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>-1</dim><dim>3</dim></port></input></layer>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/>
</edges></net>
"""
CONFIG = (
    'backend: "onnxruntime" max_batch_size: 4 '
    'input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 3 ] }'
)
PLAN = b"ftrt" + bytes(60)


def value(name: str, shape: Any = ("batch", 3), kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model(**changes: Any) -> onnx.ModelProto:
    """x[batch, 3] + w → y[batch, 3]; `changes` are those of make_graph and make_model."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3], np.float32([1, 2, 3]).tobytes(), raw=True)
    parts = {
        "nodes": [helper.make_node("Add", ["x", "w"], ["y"])],
        "inputs": [value("x")],
        "outputs": [value("y")],
        "initializer": [weights],
    } | {key: changes.pop(key) for key in list(changes) if key in ("nodes", "inputs", "outputs", "initializer")}
    graph = helper.make_graph(parts["nodes"], "g", parts["inputs"], parts["outputs"], parts["initializer"])
    settings = {"ir_version": 8, "opset_imports": [helper.make_opsetid("", 17)]} | changes
    return helper.make_model(graph, **settings)


MODEL = model().SerializeToString()


def external(location: str, *, sparse: bool = False, data: bytes = bytes(12), **facts: str) -> onnx.ModelProto:
    """The model with its weights said to lie in `location`."""
    made = model()
    tensor = made.graph.initializer[0]
    if sparse:
        values = made.graph.sparse_initializer.add().values
        values.CopyFrom(tensor)
        values.name, tensor = "s", values
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, fact in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=fact)
    return made


def folder(root: Path, files: Mapping[str, bytes | str]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def package(root: Path, **files: bytes | str) -> Path:
    """A folder with the manifest above and the model."""
    return folder(root / "bolts", {"package.yaml": MANIFEST, "m.onnx": MODEL, **files})


def zipped(entries: list[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def good_zip(*more: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    return zipped([("package.yaml", MANIFEST.encode()), ("m.onnx", MODEL), *more])


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def patched(raw: bytes, signature: bytes, offset: int, layout: str, number: int, *, last: bool = True) -> bytes:
    """`raw` with one field of the last (or first) record of that signature changed."""
    at = (raw.rfind if last else raw.find)(signature) + offset
    return raw[:at] + struct.pack(layout, number) + raw[at + struct.calcsize(layout) :]


def renamed(raw: bytes, old: bytes, new: bytes, *, which: str = "both") -> bytes:
    """`raw` with an entry's name changed, to one of the same length, in the local header, the directory or both."""
    assert len(old) == len(new)
    first, last = raw.find(old), raw.rfind(old)
    for at in {"both": (first, last), "local": (first,), "central": (last,)}[which]:
        raw = raw[:at] + new + raw[at + len(new) :]
    return raw


def bomb(size: int) -> bytes:
    """`size` zero bytes, deflated, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = bytes(1 << 20)
    packed = b"".join(packer.compress(chunk) for _ in range(size >> 20))
    return packed + packer.flush()


def raw_entry(
    name: bytes, packed: bytes, size: int, crc: int, *, offset: int, method: int = 8, mode: int = stat.S_IFREG | 0o644
) -> tuple[bytes, bytes]:
    """(local header and data, directory record) of an entry that says what it is told to say."""
    common = (0, method, 0, 0x21, crc, len(packed), size, len(name))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, *common, 0) + name + packed
    central = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 0x314, 20, *common, 0, 0, 0, 0, mode << 16, offset) + name
    return local, central


def raw_zip(locals_: list[bytes], centrals: list[bytes]) -> bytes:
    body, directory = b"".join(locals_), b"".join(centrals)
    count = len(centrals)
    return (
        body
        + directory
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body), 0)
    )


def file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    """A builder of one file."""
    return lambda root: folder(root, {name: content}) / name


def triton(name: str = "resnet", config: str | None = CONFIG, **files: bytes | str) -> Callable[[Path], Path]:
    """A builder of an adopted Triton folder; `files` replace or add to it."""
    content: dict[str, bytes | str] = {"1/model.onnx": MODEL, **files}
    if config is not None:
        content["config.pbtxt"] = config
    return lambda root: folder(root / name, content)

"""However large or clever the input: fixed memory and disk. Each reading runs in a process of its own, with limits."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.archives import CONFIG, IR, bomb, folder, model, package, raw_entry, raw_zip, triton

MIB = 1 << 20
READ = """
import json, resource, sys
from pathlib import Path
from tritonpm.core.errors import TritonpmError
from tritonpm.package import read, read_signature
from tritonpm.package import reader
source, staging, file_size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
import onnx, tritonclient.grpc.model_config_pb2

def most():  # bytes; getrusage's figure is at least that of the process which started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10

before = most()
if file_size:
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
try:
    if len(sys.argv) > 4:
        outcome = read_signature(source)[0].value
    else:
        outcome = read(source, staging).name
except TritonpmError as error:
    outcome = f"{type(error).__name__}: {error}"
print(json.dumps([outcome, most() - before]))
"""


def measured(source: Path, staging: Path, *more: str, file_size: int = 0) -> tuple[str, int]:
    """(what came of reading it, bytes by which the process grew)"""
    staging.mkdir(exist_ok=True)
    arguments = [sys.executable, "-c", READ, str(source), str(staging), str(file_size), *more]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    outcome, grown = json.loads(run.stdout)
    return outcome, grown


def written(staging: Path) -> int:
    return sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())


def giant(path: Path, size: int) -> Path:
    """A model with `size` bytes of weights, of which the file system stores nothing."""

    def field(number: int, length: int) -> bytes:
        out = bytearray([number << 3 | 2])
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes([*out, length])

    small = model(initializer=[])
    graph = small.graph.SerializeToString()
    tensor_head = b"\x08\x03\x10\x01" + b"\x42\x01w" + field(9, size)
    initializer = field(5, len(tensor_head) + size) + tensor_head
    small.ClearField("graph")
    head = small.SerializeToString() + field(7, len(graph) + len(initializer) + size) + graph + initializer
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + size)
    return path


def test_the_signature_of_a_giant_model_costs_nothing(tmp_path: Path) -> None:
    source = giant(tmp_path / "giant.onnx", 20 << 30)
    outcome, grown = measured(source, tmp_path / "s", "signature")
    assert outcome == "onnx"
    assert grown < 32 * MIB


def test_a_large_model_is_copied_in_pieces(tmp_path: Path) -> None:
    outcome, grown = measured(giant(tmp_path / "large.onnx", 200 * MIB), tmp_path / "s")
    assert outcome == "large"
    assert grown < 48 * MIB


def test_a_model_larger_than_the_disk_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    outcome, _ = measured(giant(tmp_path / "giant.onnx", 200 << 30), tmp_path / "s")
    assert outcome.startswith("StorageError")
    assert written(tmp_path / "s") == 0


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path) -> None:
    outcome, _ = measured(giant(tmp_path / "large.onnx", 20 * MIB), tmp_path / "s", file_size=MIB)
    assert outcome.startswith("StorageError")
    assert "cannot be written" in outcome


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    local, central = raw_entry(b"a", bomb(400 * MIB), 400 * MIB, 0, offset=0)
    outcome, grown = measured(folder(tmp_path, {"b.zip": raw_zip([local], [central])}) / "b.zip", tmp_path / "s")
    assert "times as much" in outcome
    assert written(tmp_path / "s") == 0
    assert grown < 16 * MIB


def test_a_bomb_that_lies_about_its_size_stops_at_what_it_said(tmp_path: Path) -> None:
    local, central = raw_entry(b"a", bomb(400 * MIB), MIB, 0, offset=0)
    outcome, grown = measured(folder(tmp_path, {"b.zip": raw_zip([local], [central])}) / "b.zip", tmp_path / "s")
    assert "is larger than the archive says" in outcome
    assert written(tmp_path / "s") <= 2 * MIB
    assert grown < 16 * MIB


def test_a_million_entries(tmp_path: Path) -> None:
    local, central = raw_entry(b"a", b"", 0, 0, offset=0, method=0)
    directory = central * 1_000_000
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**6, 10**6, len(directory), len(local))
    end += struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(directory), 1)
    end += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    outcome, grown = measured(folder(tmp_path, {"b.zip": local + directory + end}) / "b.zip", tmp_path / "s")
    assert "holds more than 10000 files and folders" in outcome
    assert grown < 16 * MIB


@pytest.mark.long
def test_a_hundred_megabytes_of_config(tmp_path: Path) -> None:
    source = triton("r", CONFIG + " " * (100 * MIB))(tmp_path)
    outcome, grown = measured(source, tmp_path / "s")
    assert "is longer than 1 MiB" in outcome
    assert grown < 16 * MIB


@pytest.mark.parametrize(
    "content", ["[" * 4_000_000, "{a: " * 1_000_000, "- " * 2_000_000], ids=["lists", "maps", "items"]
)
def test_a_manifest_nested_without_end(content: str, tmp_path: Path) -> None:
    outcome, grown = measured(package(tmp_path, **{"package.yaml": content}), tmp_path / "s")
    assert "is nested more than 16 deep" in outcome
    assert grown < 64 * MIB


XML = {
    "nested": "<a>" * 1_000_000,
    "wide-in-a-layer": '<layers><layer type="Add">' + "<port/>" * 4_000_000,
    "attribute": '<a b="' + "x" * (60 * MIB) + '"/>',
}


@pytest.mark.long
@pytest.mark.parametrize("text", XML.values(), ids=XML)
def test_xml_without_end(text: str, tmp_path: Path) -> None:
    source = folder(tmp_path, {"n.xml": '<net name="n" version="11">' + text}) / "n.xml"
    outcome, grown = measured(source, tmp_path / "s", "signature")
    assert "has too many parts" in outcome or "is cut off" in outcome
    assert grown < 256 * MIB


@pytest.mark.long
def test_xml_with_millions_of_elements_is_not_kept(tmp_path: Path) -> None:
    text = '<net name="n" version="11">' + "<a/>" * 1_000_000 + IR.split('version="11">', 1)[1]
    outcome, grown = measured(
        folder(tmp_path, {"n.xml": text, "n.bin": bytes(12)}) / "n.xml", tmp_path / "s", "signature"
    )
    assert outcome == "openvino"
    assert grown < 96 * MIB  # a quarter of a million: what a MiB of text is parsed ahead to


def test_a_forest_with_millions_of_numbers(tmp_path: Path) -> None:
    """Unpacked repeated numbers, as decision trees have them, are stepped over in runs."""
    made = model()
    made.graph.node[0].attribute.add(name="n", type=7).ints.extend(range(1_000_000))
    made.graph.node[0].attribute.add(name="f", type=6).floats.extend([0.5] * 1_000_000)
    source = folder(tmp_path, {"f.onnx": made.SerializeToString()}) / "f.onnx"
    outcome, grown = measured(source, tmp_path / "s", "signature")
    assert outcome == "onnx"
    assert grown < 32 * MIB

"""Packages that would cost who reads them hours or all memory: a sentence that names the limit, and nothing is left."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper

from tritonpm.core.apart import Apart
from tritonpm.core.errors import ManifestError, NotFoundError, PackageError
from tritonpm.core.types import Package
from tritonpm.core.units import GIB, MIB
from tritonpm.package import apart as reading
from tritonpm.package import read
from tritonpm.package.apart import read_apart

FRESH = True  # a process for each import


@pytest.fixture
def reader(tmp_path) -> Callable[..., Package]:
    def run(source: Path, **more) -> Package:
        for name in ("staging", "folder"):
            (tmp_path / name).mkdir(exist_ok=True)
        with Apart() as apart:
            return read_apart(apart, source, tmp_path / "staging", tmp_path / "folder", **more)

    return run


def identity(shape=("n", 3), dtype=TensorProto.FLOAT, inputs: int = 1) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x" if not n else f"x{n}", dtype, list(shape)) for n in range(inputs)],
        [helper.make_tensor_value_info("y", dtype, ["n", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def npz(head: bytes, size: int = 0) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for start in range(0, size, 16 * MIB):
            member.write(bytes(min(16 * MIB, size - start)))
    return stream.getvalue()


def package(path: Path, sample: bytes, dtype: int = TensorProto.FLOAT) -> Path:
    stage = {"name": "s", "task": "other", "model": "m.onnx", "samples": [{"inputs": "s.npz"}]}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.onnx", identity(dtype=dtype))
        archive.writestr("s.npz", sample)
        archive.writestr("package.yaml", yaml.safe_dump({"schema": 1, "name": "p", "version": "1", "stages": [stage]}))
    return path


NESTED = b"\x93NUMPY\x01\x00" + (4096).to_bytes(2, "little") + (b"{'descr': " + b"[" * 4000).ljust(4095) + b"\n"


@pytest.mark.parametrize(
    ("sample", "dtype", "words"),
    [
        (lambda: npz(header("<f4", (GIB // 12 + 1, 3)), (GIB // 12 + 1) * 12), TensorProto.FLOAT, "more than 1 GiB"),
        (lambda: npz(header("<U1", (1 << 20, 3)), 12 << 20), TensorProto.STRING, "more than 1048576 texts"),
        (lambda: npz(NESTED), TensorProto.FLOAT, "header that cannot be read"),
        (lambda: npz(header("<f4", (1 << 62, 3))), TensorProto.FLOAT, "not as long as its header says"),
        (lambda: npz(header("<f4", (1,) * 40), 4), TensorProto.FLOAT, "no tensor has"),
        (lambda: npz(header("V0", (1 << 40,))), TensorProto.FLOAT, "no tensor has"),
    ],
)
def test_a_sample_that_would_not_fit_is_refused(tmp_path, reader, sample, dtype, words):
    with pytest.raises(PackageError, match=words):
        reader(package(tmp_path / "p.zip", sample(), dtype))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(lambda: identity(inputs=100_000), "100001 inputs and outputs", marks=pytest.mark.long),
        (lambda: identity(shape=["n"] * 1_000_000), "1000000 dimensions"),
    ],
)
def test_a_model_of_more_than_anything_serves_is_refused(tmp_path, reader, model, words):
    (tmp_path / "m.onnx").write_bytes(model())
    with pytest.raises(PackageError, match=words):
        reader(tmp_path / "m.onnx")


def test_what_is_read_apart_is_what_is_read(tmp_path, reader):
    source = package(tmp_path / "p.zip", npz(header("<f4", (2, 3)), 24))
    (tmp_path / "direct").mkdir()
    told = []
    assert reader(source, progress=lambda *what: told.append(what)) == read(source, tmp_path / "direct")
    assert told


def test_refusals_keep_their_kind(tmp_path, reader):
    with pytest.raises(NotFoundError):
        reader(tmp_path / "nothing.zip")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("package.yaml", "schema: 1\nname: 3\nstages: []\n")
    with pytest.raises(ManifestError) as error:
        reader(tmp_path / "m.zip")
    assert all(len(problem) == 2 for problem in error.value.problems)


@pytest.mark.parametrize(("limit", "value", "words"), [("SECONDS", 0.0, "took longer than"), ("MEMORY", MIB, "memory")])
def test_reading_has_limits_of_its_own(tmp_path, reader, monkeypatch, limit, value, words):
    monkeypatch.setattr(reading, limit, value)
    (tmp_path / "m.onnx").write_bytes(identity())
    with pytest.raises(PackageError, match=f"m.onnx: reading it .*{words}"):
        reader(tmp_path / "m.onnx")

"""Tensors: dtypes, files, made-up inputs, comparison."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient.utils import np_to_triton_dtype

from tritonpm.core.errors import PackageError
from tritonpm.core.tensors import as_served, compare, guesses, load_npz, numpy_dtype, save_npz, synthesize, triton_dtype
from tritonpm.core.types import DTYPES, Tensor, Values

NAMES = st.text(st.characters(categories=("L", "N"), include_characters="_:./-"), min_size=1, max_size=20)
STORED = st.sampled_from([d for d in DTYPES if d not in ("BYTES", "BF16")]).map(numpy_dtype)
ARRAYS = STORED.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_there_and_back_as_tritonclient_has_them(dtype: str) -> None:
    assert triton_dtype(numpy_dtype(dtype)) == dtype
    assert np_to_triton_dtype(numpy_dtype(dtype)) == dtype


@pytest.mark.parametrize("kind", ["complex64", "datetime64[s]", "float128"])
def test_dtypes_that_triton_lacks(kind: str) -> None:
    with pytest.raises(KeyError):
        triton_dtype(np.dtype(kind))


@given(st.dictionaries(NAMES, ARRAYS, max_size=3))
def test_npz_there_and_back_the_same_bytes_each_time(tmp_path_factory: Any, held: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("npz")
    save_npz(folder / "a.npz", held)
    save_npz(folder / "b.npz", dict(reversed(held.items())))
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()
    read = load_npz(folder / "a.npz")
    assert read.keys() == held.keys()
    for name, array in held.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@given(arrays.arrays(np.object_, arrays.array_shapes(min_dims=0, max_side=3), elements=st.text("aä\n", max_size=5)))
def test_text_comes_back_as_bytes(tmp_path_factory: Any, text: Any) -> None:
    path = tmp_path_factory.mktemp("npz") / "text.npz"
    save_npz(path, {"text": text})
    (read,) = load_npz(path).values()
    assert read.dtype == np.object_
    assert read.shape == text.shape
    assert [value.decode() for value in read.ravel()] == list(text.ravel())


@pytest.mark.parametrize(
    "header",
    [
        "[" * 4000 + "]" * 4000, "(" * 4000, "{'descr': " + "[" * 2000 + ", 'fortran_order': False, 'shape': (1,)}", "-" * 9000 + "1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}", "\0", "{", "'" * 3, "1" * 9000,
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_read_is_a_sentence(tmp_path: Path, header: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n")
    with pytest.raises(PackageError, match=r"is not a readable \.npz") as told:
        load_npz(tmp_path / "a.npz")
    assert len(told.value.what) < 300


def test_bf16_and_empty_text_come_back(tmp_path: Path) -> None:
    held = {
        "half": np.array([1.5, -2.0], numpy_dtype("BF16")),
        "text": np.array([b"a", b"", b"\0b"], np.object_),
        "empty": np.empty((0, 2), np.object_),
    }
    save_npz(tmp_path / "a.npz", held)
    read = load_npz(tmp_path / "a.npz")
    assert {name: (a.dtype, a.shape, a.tolist()) for name, a in read.items()} == {
        name: (a.dtype, a.shape, a.tolist()) for name, a in held.items()
    }


def test_text_that_would_be_cut_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="ends in NUL"):
        save_npz(tmp_path / "a.npz", {"x": np.array([b"a\0"], np.object_)})
    assert not (tmp_path / "a.npz").exists()


def test_numpys_own_files_are_read(tmp_path: Path) -> None:
    held = {"c": np.arange(6).reshape(2, 3), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "s": np.array("ä")}
    np.savez_compressed(tmp_path / "a.npz", **held)
    read = load_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(read["c"], held["c"])
    np.testing.assert_array_equal(read["f"], held["f"])
    assert read["s"].item() == "ä".encode()


@given(st.binary(max_size=200))
def test_whatever_is_no_npz_is_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("npz") / "x.npz"
    path.write_bytes(content)
    with pytest.raises(PackageError, match=r"x\.npz"):
        load_npz(path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(PackageError):
        load_npz(tmp_path / "x.npz")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("x.npy")
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, b"")
    content = (tmp_path / "x.npz").read_bytes()
    at = content.index(b"PK\x01\x02") + 24  # the size that the directory tells
    (tmp_path / "x.npz").write_bytes(content[:at] + (0xFFFFFFF0).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(PackageError):
        load_npz(tmp_path / "x.npz")


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(PackageError):
        load_npz(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 4000,
        b"[" * 9000,
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,L",
        b"{'descr': 'x' * 9}",
        b"\0",
        b"(1L,",
    ],
)
def test_a_header_that_is_no_python_is_refused(tmp_path: Path, header: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(PackageError, match=r"a header that cannot be read|has version|is not a readable"):
        load_npz(tmp_path / "x.npz")


def test_made_up_inputs_follow_the_signature() -> None:
    tensors = (
        Tensor("image", "FP32", ("batch", 3, "height", "height")),
        Tensor("mask", "BOOL", ("batch", "batch")),
        Tensor("text", "BYTES", (1, "?")),
        Tensor("scale", "FP16", ()),
        Tensor("bias", "FP32", (1,), optional=True),
    )
    made = synthesize(tensors, batch=2, size=5)
    assert {name: array.shape for name, array in made.items()} == {
        "image": (2, 3, 5, 5), "mask": (2, 2), "text": (2, 5), "scale": (),
    }  # fmt: skip
    assert [triton_dtype(array.dtype) for array in made.values()] == ["FP32", "BOOL", "BYTES", "FP16"]
    assert synthesize(tensors)["image"].shape[0] == 1


def test_made_up_inputs_depend_on_the_seed_alone() -> None:
    tensors = (Tensor("x", "FP32", ("n", 4)),)
    first, again, other = (synthesize(tensors, seed=seed)["x"] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_made_up_inputs_have_every_dtype(dtype: str) -> None:
    (made,) = synthesize((Tensor("x", dtype, (2, 2)),)).values()
    assert triton_dtype(made.dtype) == dtype


def test_guesses_grow_with_the_dynamic_dimensions_and_stay_small() -> None:
    def shapes(*shape: int | str) -> list[tuple[int, ...]]:
        return [made["x"].shape for made in guesses((Tensor("x", "UINT8", shape),))]

    assert shapes("n", 3, "h", "w") == [(1, 3, 4, 4), (1, 3, 32, 32), (1, 3, 224, 224)]
    assert shapes("n", 3) == [(1, 3)]
    assert shapes("n", "a", "b", "c", "d") == [(1, 4, 4, 4, 4), (1, 32, 32, 32, 32)]


def test_the_last_guesses_are_texts_that_are_numbers() -> None:
    first, last = guesses((Tensor("x", "BYTES", ("n", 2)),), batch=1)
    assert first["x"][0, 0].startswith(b"text ") and all(text.isdigit() for text in last["x"].ravel())


def test_guesses_hold_what_is_said_of_values() -> None:
    tensors = (Tensor("ids", "INT64", ("n", 64)), Tensor("word", "BYTES", ("n", 8)), Tensor("x", "FP16", ("n", 64)))
    said = {"ids": Values(5, 9), "word": Values(texts=("ok", "NG")), "x": Values(-2, -1)}
    (made, *_) = guesses(tensors, said=said)
    assert set(made["ids"].ravel()) == {5, 6, 7, 8, 9}
    assert set(made["word"].ravel()) == {b"ok", b"NG"}
    assert made["x"].dtype == np.float16 and (made["x"] <= -1).all() and (made["x"] >= -2).all()


def test_single_values_in_the_shape_that_triton_has() -> None:
    tensors = (Tensor("scalar", "FP32", (1,)), Tensor("label", "INT64", ("?", 1)), Tensor("x", "FP32", ("?", 4)))
    given = {"scalar": np.zeros(()), "label": np.zeros(3), "x": np.zeros((3, 4)), "other": np.zeros(3)}
    shapes = {name: array.shape for name, array in as_served(given, tensors).items()}
    assert shapes == {"scalar": (1,), "label": (3, 1), "x": (3, 4), "other": (3,)}
    assert {n: a.shape for n, a in as_served(as_served(given, tensors), tensors).items()} == shapes


@given(ARRAYS)
def test_everything_equals_itself(array: Any) -> None:
    assert compare({"x": array}, {"x": array.copy()}, rtol=0, atol=0) == ""


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        ([1.0, 2.0], [1.0, 2.5], "'x' at [1] is 2.5, expected 2.0 (1 of 2 differ)"),
        ([1.0, np.nan], [1.0, 1.0], "expected nan"),
        ([np.inf], [-np.inf], "is -inf, expected inf"),
        ([1.0], [1.0, 1.0], "has shape [2], expected [1]"),
        ([1.0], [1], "is INT64, expected FP64"),
        ([b"a", b"b"], [b"a", b"c"], "'x' at [1]"),
        (1.0, 2.0, "'x' is 2.0, expected 1.0"),
    ],
)
def test_a_difference_is_told(expected: Any, actual: Any, said: str) -> None:
    assert said in compare({"x": np.array(expected)}, {"x": np.array(actual)}, rtol=0.1, atol=0.1)


def test_a_missing_output_is_told_and_a_further_one_is_not() -> None:
    assert "'x' is missing" in compare({"x": np.zeros(1)}, {}, rtol=0, atol=0)
    assert compare({}, {"x": np.zeros(1)}, rtol=0, atol=0) == ""

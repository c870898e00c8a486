"""Whatever comes in: a package, or a refusal in one sentence; never another exception."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.archives import IR, MANIFEST, MODEL, folder, good_zip
from tritonpm.core.errors import TritonpmError
from tritonpm.core.types import Package
from tritonpm.package import Limits, export, read, read_signature
from tritonpm.package import manifest as manifests
from tritonpm.package.document import load
from tritonpm.package.paths import Paths, name_from, problem

ZIP = good_zip(("labels.txt", b"a\nb\n" * 50))
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
CONTENT = st.binary(max_size=300)
many = settings(max_examples=200)
few = settings(max_examples=40)


def attempt(name: str, content: bytes) -> Package | str:
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "s").mkdir()
        try:
            return read(folder(Path(root), {name: content}) / name, Path(root) / "s")
        except TritonpmError as error:
            return str(error)


UNCHANGED = getattr(attempt("b.zip", ZIP), "digest", "")


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    raw = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        kind = draw(st.sampled_from(["set", "insert", "delete", "cut", "number"]))
        if kind == "set" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif kind == "insert":
            raw[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del raw[at : at + draw(st.integers(1, 20))]
        elif kind == "cut":
            del raw[at:]
        elif kind == "number":
            raw[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"]))
    return bytes(raw)


@many
@given(mutated(ZIP))
def test_a_mutated_zip_is_the_same_package_or_refused(raw: bytes) -> None:
    result = attempt("b.zip", raw)
    assert not isinstance(result, Package) or result.digest == UNCHANGED


@many
@given(mutated(MODEL))
def test_a_mutated_model_is_a_package_or_refused(raw: bytes) -> None:
    attempt("m.onnx", raw)


@many
@given(mutated(IR.encode()))
def test_a_mutated_ir_is_read_or_refused(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = folder(Path(root), {"n.xml": raw, "n.bin": bytes(12)}) / "n.xml"
        try:
            read_signature(path)
        except TritonpmError as error:
            assert "n.xml" in str(error)


@many
@given(mutated(MANIFEST.encode()))
def test_a_mutated_manifest_is_one_or_refused(raw: bytes) -> None:
    try:
        manifests.parse(raw, "package.yaml", Limits())
    except TritonpmError as error:
        assert "package.yaml" in str(error)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.floats(-1e18, 1e18).filter(lambda f: f == f),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4), max_leaves=12,
)  # fmt: skip


@many
@given(st.dictionaries(st.text(min_size=1), TREES, max_size=4))
def test_documents_survive_being_written_as_json(tree: dict[str, object]) -> None:
    """JSON is YAML: what one parser wrote, ours reads as the same."""
    try:
        read_back = load(json.dumps(tree).encode(), "", Limits())
    except TritonpmError as error:
        assert "nested" in str(error) or "not YAML" in str(error)
    else:
        assert read_back == tree


@few
@example(name="p", version="1E100", stages=["s"], data={}, batch=1, bind=False)
@given(
    name=NAMES, version=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20),
    stages=st.lists(NAMES, min_size=1, max_size=4, unique=True), data=st.dictionaries(NAMES, CONTENT, max_size=3),
    batch=st.integers(1, 128), bind=st.booleans(),
)  # fmt: skip
def test_any_package_is_exported_and_read_back(
    name: str, version: str, stages: list[str], data: dict[str, bytes], batch: int, bind: bool
) -> None:
    """It is handed in as JSON, which quotes a version such as 0E0; PyYAML writes such a text like a number."""
    document = {
        "schema": 1, "name": name, "version": version,
        "stages": [
            {"name": stage, "model": "models/m.onnx", "serving": {"max_batch_size": batch},
             **({"inputs": {"x": f"{stages[0]}.y"}} if bind and stage != stages[0] else {})}
            for stage in stages
        ],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        own = {f"data/{index}": content for index, content in enumerate(data.values())}
        source = folder(
            root / "in", {"package.yaml": json.dumps(document, ensure_ascii=False), "models/m.onnx": MODEL, **own}
        )
        (root / "a").mkdir()
        (root / "b").mkdir()
        made = read(source, root / "a")
        export(made, lambda file: (root / "a" / file.path).open("rb"), root / "out.zip")
        assert read(root / "out.zip", root / "b") == made
        assert (made.name, made.version) == (name, version)


@many
@given(st.text(max_size=40))
def test_accepted_paths_stay_inside(path: str) -> None:
    if not problem(path, Limits()):
        root = Path("/package")
        assert (root / path).resolve(strict=False).is_relative_to(root) or (root / path).is_symlink()
        assert ".." not in path.split("/")
        assert not path.startswith("/")


@many
@given(st.lists(st.text("aAbB/é́", min_size=1, max_size=6), max_size=6))
def test_accepted_trees_can_be_made(paths: list[str]) -> None:
    """What `Paths` lets pass, a file system can hold: every file lies where it was put, and nothing twice."""
    claimed = Paths("t", Limits())
    accepted = []
    for path in paths:
        try:
            claimed.add(path)
        except TritonpmError:
            continue
        accepted.append(path)
    with tempfile.TemporaryDirectory() as place:
        for path in accepted:
            target = Path(place) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.open("x").close()
        assert len({p.casefold() for p in accepted}) == len(accepted)


@many
@given(st.text(max_size=100))
def test_a_name_made_from_anything_is_a_name_or_nothing(text: str) -> None:
    from tritonpm.package.paths import is_name

    assert name_from(text) == "" or is_name(name_from(text))


@pytest.mark.parametrize(("file", "name"), [
    ("kiểm tra mối hàn", "kiem-tra-moi-han"), ("螺丝检测_yolov8", "yolov8"), ("螺丝检测_3号线", ""), ("3", "3"),
])  # fmt: skip
def test_a_name_made_from_a_file_s_says_something(file: str, name: str) -> None:
    assert name_from(file) == name

"""What is accepted: packages, bare models, Triton folders; and that a package can be written back."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.archives import (
    CONFIG,
    IR,
    MANIFEST,
    MODEL,
    PLAN,
    external,
    folder,
    good_zip,
    package,
    triton,
    zipped,
)
from tritonpm.core.errors import ManifestError, PackageError, StorageError, UnsafeError
from tritonpm.core.tensors import save_npz
from tritonpm.core.types import DTYPES, File, Format, Package, Tensor
from tritonpm.package import Limits, export, inspect, read
from tritonpm.package.document import dump, load
from tritonpm.package.tree import plain as without_links

CASCADE = """\
schema: 1
name: bolts
version: "1.0"
exporter: {name: trainer, version: "2.3"}
license: Apache-2.0
model_card: LICENSE
stages:
  - name: detect
    task: Object Detection
    model: models/m.onnx
    labels: [bolt, "not a bolt"]
    serving: {max_batch_size: 4, preferred_batch_sizes: [2, 4], mode: performance, instances: 2}
    samples: [{inputs: x.npz, outputs: y.npz}]
  - name: refine
    task: defect_segmentation
    model: models/m.onnx
    inputs: {x: detect.y}
samples: [{inputs: x.npz}]
"""


def staged(source: Path, tmp_path: Path, **options: object) -> tuple[Package, Path]:
    staging = tmp_path / f"staging{len(list(tmp_path.glob('staging*')))}"
    staging.mkdir()
    return read(source, staging, **options), staging  # type: ignore[arg-type]


def cascade(tmp_path: Path) -> Path:
    made = folder(tmp_path / "in", {"package.yaml": CASCADE, "models/m.onnx": MODEL, "LICENSE": "free"})
    save_npz(made / "x.npz", {"x": np.ones((2, 3), np.float32)})
    save_npz(made / "y.npz", {"y": np.ones((2, 3), np.float32)})
    return made


def exported(package: Package, staging: Path, tmp_path: Path) -> Path:
    target = tmp_path / f"out{len(list(tmp_path.glob('out*')))}.zip"
    export(package, lambda file: (staging / file.path).open("rb"), target)
    return target


SOURCES = {
    "cascade": cascade,
    "folder": lambda root: package(root),
    "zip": lambda root: folder(root, {"b.zip": good_zip()}) / "b.zip",
    "zip-of-a-folder": lambda root: folder(root, {
        "b.zip": zipped([("b/", b""), ("b/package.yaml", MANIFEST.encode()), ("b/m.onnx", MODEL)])}) / "b.zip",
    "onnx": lambda root: folder(root, {"m.onnx": MODEL}) / "m.onnx",
    "external-data": lambda root: folder(root, {
        "m.onnx": external("w/w.bin", length="12").SerializeToString(), "w/w.bin": bytes(12)}) / "m.onnx",
    "openvino": lambda root: folder(root, {"net.xml": IR, "net.bin": bytes(12)}) / "net.xml",
    "triton": triton(),
    "triton-two-versions": triton("r", CONFIG, **{"3/model.onnx": MODEL, "configs/cpu.pbtxt": ""}),
    "triton-without-config": triton("r", None, **{"3/model.onnx": MODEL}),
    "triton-auto-complete": triton("r", 'name: "r"'),
    "triton-other-backend": triton("r", CONFIG.replace("onnxruntime", "fil"), **{"1/model.json": b"x"}),
    "triton-zip": lambda root: folder(root, {
        "r.zip": zipped([("r/config.pbtxt", CONFIG.encode()), ("r/1/model.onnx", MODEL)])}) / "r.zip",
    "triton-inside": lambda root: package(root, **{
        "package.yaml": MANIFEST.replace("model: m.onnx", "folder: t"),
        "t/config.pbtxt": CONFIG, "t/1/model.onnx": MODEL}),
}  # fmt: skip


@pytest.mark.parametrize("build", SOURCES.values(), ids=SOURCES)
def test_what_is_exported_is_read_back_as_the_same_package(build: object, tmp_path: Path) -> None:
    made, staging = staged(build(tmp_path / "in"), tmp_path)  # type: ignore[operator]
    target = exported(made, staging, tmp_path)
    again, second = staged(target, tmp_path)
    assert again == made
    assert exported(again, second, tmp_path).read_bytes() == target.read_bytes()
    for file in made.files:
        assert (second / file.path).read_bytes() == (staging / file.path).read_bytes()


def test_a_cascade(tmp_path: Path) -> None:
    made, staging = staged(cascade(tmp_path), tmp_path)
    assert made.cascade
    assert (made.name, made.version, made.exporter, made.exporter_version) == ("bolts", "1.0", "trainer", "2.3")
    assert (made.license, made.model_card) == ("Apache-2.0", "LICENSE")
    first, second = made.stages
    assert first.task.value == "object-detection"
    assert second.task.value == "defect-segmentation"
    assert first.signature.inputs == (Tensor("x", "FP32", ("batch", 3)),)
    assert first.signature.labels == ("bolt", "not a bolt")
    assert (staging / str(first.labels)).read_text() == "bolt\nnot a bolt\n"
    assert first.serving == {
        "max_batch_size": 4, "preferred_batch_sizes": (2, 4), "mode": "performance", "instances": 2,
    }  # fmt: skip
    assert second.bindings == (("x", "detect.y"),)
    assert second.serving == {}
    assert made.samples[0].inputs == "x.npz"
    assert {file.path for file in made.files} == {"LICENSE", "labels/detect.txt", "models/m.onnx", "x.npz", "y.npz"}


def test_the_digest_is_of_everything_but_the_name(tmp_path: Path) -> None:
    one = inspect(folder(tmp_path, {"a.onnx": MODEL}) / "a.onnx")
    other = inspect(folder(tmp_path, {"b.onnx": MODEL}) / "b.onnx")
    assert (one.name, other.name) == ("a", "b")
    assert one.digest == other.digest
    changed = inspect(package(tmp_path, **{"package.yaml": MANIFEST.replace("1.0", "1.1")}))
    assert changed.digest not in (one.digest, inspect(package(tmp_path)).digest)


def test_a_name_is_given_or_made_from_the_file(tmp_path: Path) -> None:
    source = folder(tmp_path, {"my model (v1.2).onnx": MODEL}) / "my model (v1.2).onnx"
    assert inspect(source).name == "my-model-v1-2"
    assert staged(source, tmp_path, name="bolts")[0].name == "bolts"
    assert staged(triton("res.net")(tmp_path), tmp_path, name="resnet")[0].name == "resnet"


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a.b", "-a", "a" * 65, "é", "a\n"])
def test_a_given_name_has_to_be_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="is not a package name"):
        staged(package(tmp_path), tmp_path, name=name)


def test_a_name_that_windows_reserves_is_none(tmp_path: Path) -> None:
    source = folder(tmp_path, {"Con.onnx": MODEL}) / "Con.onnx"
    with pytest.raises(PackageError, match="'Con' is a name that Windows reserves"):
        inspect(source)
    assert staged(source, tmp_path, name="console")[0].name == "console"


def test_every_problem_of_a_manifest_is_told_with_its_path(tmp_path: Path) -> None:
    text = MANIFEST.replace("name: bolts", "name: 7").replace("m.onnx}", "m.onnx, colour: red, labels: 3}") + "x: 1\n"
    with pytest.raises(ManifestError) as caught:
        inspect(package(tmp_path, **{"package.yaml": text}))
    assert {path for path, _ in caught.value.problems} == {"name", "stages[0].colour", "stages[0].labels", "x"}


def test_listed_digests_are_accepted_where_they_are_right(tmp_path: Path) -> None:
    digest = inspect(package(tmp_path)).file("m.onnx").digest
    assert inspect(package(tmp_path, **{"package.yaml": MANIFEST + f"files: {{m.onnx: {digest!r}}}\n"})).name == "bolts"


def test_one_file_named_by_two_stages_is_one_file(tmp_path: Path) -> None:
    made, _ = staged(cascade(tmp_path), tmp_path)
    assert made.stages[0].model == made.stages[1].model
    assert sum(file.path.endswith(".onnx") for file in made.files) == 1


def test_an_archive_inside_is_a_plain_file(tmp_path: Path) -> None:
    source = folder(tmp_path, {"b.zip": good_zip(("inner.zip", good_zip()))}) / "b.zip"
    assert "inner.zip" in {file.path for file in inspect(source).files}


def test_an_adopted_folder_is_kept_as_it_is(tmp_path: Path) -> None:
    made, staging = staged(SOURCES["triton-two-versions"](tmp_path / "in"), tmp_path)  # type: ignore[operator]
    stage = made.stages[0]
    assert (made.name, stage.config, stage.root, stage.model) == ("r", "config.pbtxt", "", "3/model.onnx")
    assert stage.files == ("1/model.onnx", "3/model.onnx", "configs/cpu.pbtxt")
    assert stage.signature.inputs == (Tensor("x", "FP32", ("batch", 3)),)
    assert (staging / "config.pbtxt").read_text() == CONFIG


def test_a_triton_zip_without_its_own_folder_takes_the_name_of_its_config(tmp_path: Path) -> None:
    content = zipped([("config.pbtxt", (CONFIG + ' name: "resnet"').encode()), ("1/model.onnx", MODEL)])
    assert inspect(folder(tmp_path, {"x.zip": content}) / "x.zip").name == "resnet"


class Unseekable(io.RawIOBase):
    """A pipe: zipfile then writes sizes behind the data."""

    def __init__(self, path: Path) -> None:
        self.target = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self.target.write(data)  # type: ignore[arg-type]

    def close(self) -> None:
        self.target.close()
        super().close()


@pytest.mark.parametrize("piped", [False, True], ids=["seekable", "piped"])
@pytest.mark.parametrize("wide", [False, True], ids=["zip32", "zip64"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_zips_as_ordinary_tools_write_them(method: int, wide: bool, piped: bool, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    target = Unseekable(path) if piped else path.open("wb")
    with target as out, zipfile.ZipFile(out, "w", method) as archive:  # type: ignore[arg-type]
        archive.comment = b"written by hand"
        for name, content in (("package.yaml", MANIFEST.encode()), ("m.onnx", MODEL)):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            with archive.open(entry, "w", force_zip64=wide) as member:
                member.write(content)
    assert inspect(path).digest == inspect(package(tmp_path)).digest


def test_code_is_read_where_it_is_allowed(tmp_path: Path) -> None:
    config = CONFIG.replace("onnxruntime", "python")
    made, _ = staged(triton("p", config, **{"1/model.py": b"x = 1"})(tmp_path), tmp_path, allow_code=True)
    assert made.stages[0].format is Format.OTHER
    plan = MANIFEST.replace("m.onnx}", "m.plan, signature: {inputs: [T], outputs: [T]}}").replace(
        "T]", "{name: x, dtype: FP16, shape: [batch, 3]}]"
    )
    source = folder(tmp_path / "t", {"package.yaml": plan, "m.plan": PLAN})
    made, staging = staged(source, tmp_path, allow_code=True)
    assert made.stages[0].format is Format.TENSORRT
    assert made.stages[0].signature.outputs == (Tensor("x", "FP16", ("batch", 3)),)
    assert staged(exported(made, staging, tmp_path), tmp_path, allow_code=True)[0] == made


def test_links_named_by_the_user_are_followed_and_hard_links_are_files(tmp_path: Path) -> None:
    made = package(tmp_path)
    (made / "again.onnx").hardlink_to(made / "m.onnx")
    (tmp_path / "link").symlink_to(made)
    assert len(inspect(tmp_path / "link").files) == 2


def hub_cache(root: Path) -> Path:
    """The layout of the Hugging Face hub's cache: every name is a link to a blob without an ending."""
    blobs, snapshot = root / "blobs", root / "snapshots/abc/onnx"
    made = external("model.onnx_data", length="12").SerializeToString()
    folder(blobs, {"1111": made, "2222": np.float32([1, 2, 3]).tobytes()})
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../../blobs/1111")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/2222")
    return snapshot / "model.onnx"


def test_a_model_that_is_a_link_has_its_own_name_and_what_lies_beside_it(tmp_path: Path) -> None:
    plain = folder(tmp_path / "plain", {
        "model.onnx": external("model.onnx_data", length="12").SerializeToString(),
        "model.onnx_data": np.float32([1, 2, 3]).tobytes()}) / "model.onnx"  # fmt: skip
    linked = hub_cache(tmp_path)
    assert inspect(linked) == inspect(plain)
    with without_links(linked) as path:
        assert onnx.load(path).graph.initializer[0].raw_data == np.float32([1, 2, 3]).tobytes()
        assert not any(file.is_symlink() for file in path.parent.iterdir())
    (linked.parent / "model.onnx_data").unlink()
    (linked.parent / "model.onnx_data").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeError, match=r"symbolic link.*local-dir"):
        inspect(linked)


def test_external_data_are_renamed_and_the_model_names_them_so(tmp_path: Path) -> None:
    """Two stages share a file under a name of the package's; each is served with one of ours, by its content."""
    one, other = external("w/data of mine"), external("w/data of mine", offset="12", length="12")
    other.graph.initializer.add().CopyFrom(other.graph.initializer[0])
    other.graph.initializer[1].name = "unused"
    data = np.float32([1, 2, 3, 4, 5, 6]).tobytes()
    manifest = MANIFEST + "  - {name: second, model: n.onnx, inputs: {x: detect.y}}\n"
    source = package(tmp_path, **{"package.yaml": manifest, "m.onnx": one.SerializeToString(),
                                  "n.onnx": other.SerializeToString(), "w/data of mine": data})  # fmt: skip
    made, staging = staged(source, tmp_path)
    weights = f"weights-{sha256(data).hexdigest()[:32]}.bin"
    assert {file.path for file in made.files} == {"m.onnx", "n.onnx", weights}
    assert [stage.files for stage in made.stages] == [("m.onnx", weights), ("n.onnx", weights)]
    for name, before in (("m.onnx", one), ("n.onnx", other)):
        after = onnx.load(staging / name, load_external_data=False)
        for tensor in (t for m in (before, after) for t in m.graph.initializer):
            tensor.external_data[0].value = "renamed"
        assert after == before
        assert (staging / weights).read_bytes() == data
        onnx.load(staging / name)


def test_a_model_whose_data_are_named_so_is_not_touched(tmp_path: Path) -> None:
    data = bytes(12)
    name = f"weights-{sha256(data).hexdigest()[:32]}.bin"
    raw = external(name).SerializeToString()
    made, _ = staged(folder(tmp_path / "in", {"m.onnx": raw, name: data}) / "m.onnx", tmp_path)
    assert made.file("model.onnx").digest == "sha256:" + sha256(raw).hexdigest()


def test_of_an_adopted_folder_only_what_is_read_is_served(tmp_path: Path) -> None:
    weights = external("my data", length="12").SerializeToString()
    config = CONFIG.removesuffix("}") + ' label_filename: "labels.txt" }'
    build = triton("r", config, **{"1/model.onnx": weights, "1/my data": bytes(12), "README.md": "", "labels.txt": "a\n",
                                   "configs/cpu.pbtxt": CONFIG, "configs/notes": "x", "1/old": "x"})  # fmt: skip
    made, _ = staged(build(tmp_path / "in"), tmp_path)
    renamed = f"1/weights-{sha256(bytes(12)).hexdigest()[:32]}.bin"
    assert made.stages[0].files == ("1/model.onnx", renamed, "configs/cpu.pbtxt", "labels.txt")
    assert "README.md" in {file.path for file in made.files}
    assert "1/my data" not in {file.path for file in made.files}
    trusted, _ = staged(tmp_path / "in/r", tmp_path, allow_code=True)
    assert trusted.digest == made.digest
    assert trusted.stages[0].files == (
        "1/model.onnx", "1/old", renamed, "README.md", "configs/cpu.pbtxt", "configs/notes", "labels.txt",
    )  # fmt: skip


def test_what_is_hashed_is_what_was_staged(tmp_path: Path) -> None:
    """A source that changes while it is read gives a package that is one thing: what lies in the staging folder."""
    source = package(tmp_path, **{"data.bin": bytes(3 << 20)})

    def change(path: str, done: int, total: int) -> None:
        with (source / "data.bin").open("r+b") as stream:
            stream.seek(2 << 20)
            stream.write(b"changed")

    made, staging = staged(source, tmp_path, progress=change)
    for file in made.files:
        assert file.digest == "sha256:" + sha256((staging / file.path).read_bytes()).hexdigest()
    assert (staging / "data.bin").read_bytes() != bytes(3 << 20)


@pytest.mark.parametrize("size", [1 << 20, 5 << 20], ids=["shrinks", "grows"])
def test_a_source_that_changes_its_size_is_refused(size: int, tmp_path: Path) -> None:
    source = package(tmp_path, **{"data.bin": bytes(3 << 20)})
    with pytest.raises(PackageError, match="changed its size while it was read"):
        staged(source, tmp_path, progress=lambda *_: os.truncate(source / "data.bin", size))


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    staged(package(tmp_path), tmp_path, progress=lambda *each: told.append(each))
    assert told[-1][1] == told[-1][2]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_no_space_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))  # type: ignore[attr-defined]
    staging = tmp_path / "s"
    staging.mkdir()
    with pytest.raises(StorageError, match="10 bytes are free"):
        read(package(tmp_path), staging)
    assert list(staging.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_storage(tmp_path: Path) -> None:
    made, staging = staged(package(tmp_path), tmp_path)
    with pytest.raises(StorageError, match="cannot be written"):
        export(made, lambda file: (staging / file.path).open("rb"), tmp_path / "absent" / "out.zip")


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    made, _ = staged(package(tmp_path), tmp_path)

    def vanished(file: File) -> object:
        raise RuntimeError(file.path)

    with pytest.raises(RuntimeError):
        export(made, vanished, tmp_path / "out.zip")  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*out.zip*"))


@pytest.mark.parametrize("text", ["0E0", "1e5", "12", "-.inf", "yes", "Null", "~", "1.5", "0x1F", "on"])
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    assert load(dump({"version": text}).encode(), "", Limits()) == {"version": text}


def test_yaml_means_what_it_says() -> None:
    text = b"a: no\nb: 1:30\nc: 2026-01-01\nd: 0x10\ne: [1, -2, 1.5, true, null, ~]\nf: '1'\ng: 007\n"
    assert load(text, "", Limits()) == {
        "a": "no", "b": "1:30", "c": "2026-01-01", "d": "0x10",
        "e": [1, -2, 1.5, True, None, None], "f": "1", "g": "007",
    }  # fmt: skip


def test_every_dtype_can_be_declared(tmp_path: Path) -> None:
    tensors = ", ".join(f"{{name: t{i}, dtype: {d}, shape: [1]}}" for i, d in enumerate(DTYPES))
    text = MANIFEST.replace("m.onnx}", f"m.plan, signature: {{inputs: [{tensors}], outputs: [{tensors}]}}}}")
    source = folder(tmp_path / "d", {"package.yaml": text, "m.plan": PLAN})
    assert [t.dtype for t in inspect(source).stages[0].signature.inputs] == list(DTYPES)

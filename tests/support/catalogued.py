"""Packages made by hand, for rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tritonpm.catalogue import Summary
from tritonpm.core.types import (
    BatchAxis,
    File,
    Format,
    Package,
    RenderedModel,
    RepositoryFile,
    Revision,
    Shape,
    Signature,
    Stage,
    Target,
    Task,
    Tensor,
)

TARGET = Target(cores=4)
PROVED = BatchAxis("proved", "proved: 3 rows together answer as each alone")
NONE = BatchAxis("none", "its output 'y' is a scalar")


def stage(
    name: str,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    *,
    dtype: str = "FP32",
    bindings: Mapping[str, str] | None = None,
    form: Format = Format.ONNX,
    task: Task = Task.OTHER,
    labels: tuple[str, ...] = (),
) -> Stage:
    """A stage whose model file is NAME/model.onnx."""
    tensors = [tuple(Tensor(n, dtype, shape) for n, shape in each.items()) for each in (inputs, outputs)]
    ending = {Format.ONNX: "onnx", Format.OPENVINO: "xml", Format.TENSORRT: "plan"}.get(form, "pt")
    files = (f"{name}/model.bin", f"{name}/model.xml") if form is Format.OPENVINO else (f"{name}/model.{ending}",)
    return Stage(
        name, task, form, f"{name}/model.{ending}", files, Signature(*tensors, labels),
        labels=f"{name}/labels.txt" if labels else None, bindings=tuple((bindings or {}).items()),
    )  # fmt: skip


def package(*stages: Stage, name: str = "bolts") -> Package:
    """A package of these stages; every file's digest is made of its path."""
    paths = sorted({path for s in stages for path in (*s.files, *([s.labels] if s.labels else []))})
    files = tuple(File(path, f"sha256:{path.encode().hex():0>64}"[:71], 10) for path in paths)
    return Package(name, "1", "hand", "", tuple(stages), files, "sha256:" + "0" * 64)


SUMMARY = Summary("other", ("s",), "shared", "cpu", 8, "FP32")


def a_package(name: str, content: int = 0) -> Package:
    made = package(stage("s", {"x": ("batch", "?", 3), "scalar": ()}, {"y": ("batch", 2)}), name=name)
    return replace(made, digest=f"sha256:{content:064x}")


def a_revision(name: str, number: int) -> Revision:
    files = (RepositoryFile("1/m.onnx", blob=f"sha256:{number:064x}"), RepositoryFile("config.pbtxt", text=str(number)))
    return Revision(name, str(number), (RenderedModel(name, files),))

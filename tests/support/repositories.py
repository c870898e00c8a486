"""Model folders as Triton reads them, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BASE = """name: "m"
backend: "onnxruntime"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 4 ] }
instance_group { count: 1 kind: KIND_CPU }
"""

FIXED = BASE.replace("max_batch_size: 8", "max_batch_size: 0").replace("dims: [ 4 ]", "dims: [ -1, 4 ]")

ENSEMBLE = """name: "e"
platform: "ensemble"
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "out" data_type: TYPE_FP32 dims: [ 4 ] }
ensemble_scheduling {
  step { model_name: "m" model_version: -1
    input_map { key: "x" value: "in" } output_map { key: "y" value: "mid" } }
  step { model_name: "m2" model_version: -1
    input_map { key: "x" value: "mid" } output_map { key: "y" value: "out" } }
}
"""


def onnx_graph(
    inputs: Sequence[tuple[str, int, object]] = (("x", 1, ["batch", 4]),),
    outputs: Sequence[tuple[str, int, object]] = (("y", 1, ["batch", 4]),),
    operator: str = "Neg",
) -> bytes:
    """Outputs that are each made of the first input: y = -x over [batch, 4] FP32; tensors are (name, ONNX type, dims)."""
    from onnx import helper

    def values(tensors: Sequence[tuple[str, int, object]]) -> list[object]:
        return [helper.make_tensor_value_info(*tensor) for tensor in tensors]

    nodes = [helper.make_node(operator, [inputs[0][0]], [name]) for name, _, _ in outputs]
    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


MODEL = onnx_graph()


def model(root: Path, config: str | None = BASE, name: str = "m", versions: tuple[str, ...] = ("1",)) -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (folder / version).mkdir()
        (folder / version / "model.onnx").write_bytes(MODEL)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return folder


def ensemble(root: Path, config: str = ENSEMBLE, m: str = BASE, m2: str = BASE, version: bool = True) -> None:
    model(root, m)
    model(root, m2.replace('name: "m"', 'name: "m2"'), "m2")
    folder = root / "e"
    (folder / "1").mkdir(parents=True) if version else folder.mkdir()
    (folder / "config.pbtxt").write_text(config)

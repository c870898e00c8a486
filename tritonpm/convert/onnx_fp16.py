"""FP16 ONNX with FP32 inputs and outputs, by ONNX Runtime's own converter; what FP16's range would break stays FP32.

That converter is the one that is kept; the one in onnxconverter-common is its ancestor. Inside an If or Loop it cannot
keep an operator in FP32: such a model is refused, since what comes out does not load.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonpm.convert.conversion import Artefact, Conversion, ConversionError, Options, Record, Watch, version
from tritonpm.convert.onnx_graph import modern, require_loadable, write
from tritonpm.core.types import Format, Gpu

LARGEST, SMALLEST = 65504.0, 2.0**-24  # what FP16 can hold
# Sums of many terms, exponentials and quotients by small numbers: they leave FP16's range or lose its few digits.
SENSITIVE = (
    "CumSum", "Exp", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax",
    "LpNormalization", "MeanVarianceNormalization", "Pow", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Reciprocal", "Softmax", "Softplus",
)  # fmt: skip


def convert(artefact: Artefact, options: Options, device: Gpu | None, folder: Path, watch: Watch) -> Conversion:
    """Write model.onnx into `folder`. Raises ConversionError."""
    tools = {name: version(name) for name in ("onnx", "onnxruntime")}
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    watch.report("converting", 0, 0)
    model = modern(artefact)
    nodes = sorted(_out_of_range(model.graph))
    kinds = sorted({node.op_type for node in model.graph.node} & {*SENSITIVE, *DEFAULT_OP_BLOCK_LIST})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that it rounds to zero; the proof looks at what comes of it
            half = convert_float_to_float16(
                model,
                keep_io_types=True,
                op_block_list=[*DEFAULT_OP_BLOCK_LIST, *SENSITIVE],
                node_block_list=nodes,
            )
    except Exception as error:  # a graph that its shape inference or its passes do not take
        raise ConversionError(
            f"it cannot be converted to FP16: {' '.join(str(error).split())[:300]}", where=artefact.model.name
        ) from None
    path = write(half, folder)
    require_loadable(path, artefact.model.name)
    details = {"kept_fp32": {"operators": kinds, "nodes": nodes}}
    return Conversion(replace(artefact, format=Format.ONNX, model=path), Record("onnx-fp16", tools, details))


def _out_of_range(graph: Any) -> Iterator[str]:
    """Nodes with a weight that FP16 cannot hold: beyond its largest number, or nothing but what it rounds to zero."""
    import numpy as np
    from onnx import numpy_helper

    bad = set()
    for tensor in graph.initializer:
        if tensor.data_type != 1:  # FLOAT
            continue
        values = np.abs(numpy_helper.to_array(tensor))
        if values.size and (values.max() > LARGEST or 0 < values.max() < SMALLEST):
            bad.add(tensor.name)
    for number, node in enumerate(graph.node):
        if bad.intersection(node.input):
            node.name = node.name or f"{node.op_type}_{number}"
            yield node.name

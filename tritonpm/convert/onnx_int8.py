"""INT8 as a QDQ ONNX, for TensorRT and ONNX Runtime: static quantisation by ONNX Runtime, calibrated on real samples.

Symmetric, weights per channel: what TensorRT takes. For CPUs weights have 7 bits: without VNNI an x86 CPU adds pairs of
products in 16 bits, which overflow with 8, and the same file must be right on every CPU. With `max_drop` the layers
whose output is furthest from the original's stay in floating point, the worst first, until the score holds.
Source: ONNX Runtime's quantisation document.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonpm.convert import runtimes
from tritonpm.convert.calibration import Row, rows
from tritonpm.convert.conversion import (
    Artefact,
    Conversion,
    ConversionError,
    Options,
    Record,
    Unwatched,
    Watch,
    version,
)
from tritonpm.convert.onnx_graph import MODEL, modern, require_loadable, write
from tritonpm.convert.running import Run
from tritonpm.convert.scoring import mean_score
from tritonpm.core.errors import TritonpmError
from tritonpm.core.sandbox import says_out_of_memory
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format, Gpu

_HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # where the time goes; a quantised Add or Mul gains nothing
_TRIES = 8  # each leaves twice as many layers in floating point as the one before
Answers = list[dict[str, Array]]


def convert(artefact: Artefact, options: Options, device: Gpu | None, folder: Path, watch: Watch) -> Conversion:
    """Write model.onnx into `folder`. Raises ConversionError: no samples, or nothing within max_drop."""
    tools = {name: version(name) for name in ("onnx", "onnxruntime")}
    samples = rows(artefact, options)
    logging.getLogger().setLevel(logging.ERROR)  # it advises to pre-process, which was done
    work = folder / "work"
    work.mkdir()
    try:
        source = _prepared(artefact, work)
        reference = _answers(runtimes.load(Format.ONNX, artefact.model), samples)
        narrow = device is None
        path, details = _quantised(source, samples, reference, options, work, watch, narrow=narrow)
        path.replace(folder / MODEL)
        for weights in path.parent.glob(f"{path.name}.data"):
            weights.replace(folder / weights.name)
    except (TritonpmError, MemoryError):
        raise
    except Exception as error:  # what its passes and onnx's raise share no base
        if says_out_of_memory(str(error)):
            raise
        raise ConversionError(
            f"ONNX Runtime cannot quantise it: {' '.join(str(error).split())[:300]}", where=artefact.model.name
        ) from None
    shutil.rmtree(work)
    require_loadable(folder / MODEL, artefact.model.name)
    made = replace(artefact, format=Format.ONNX, model=folder / MODEL)
    return Conversion(made, Record("onnx-int8", tools, {"samples": len(samples), **details}))


def _prepared(artefact: Artefact, work: Path) -> Path:
    """With shapes inferred and constants folded, as the quantiser wants it; names of inputs and outputs stay."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (work / "modern").mkdir()
    plain, prepared = write(modern(artefact), work / "modern"), work / "prepared.onnx"
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(prepared, load_external_data=False)
    for number, node in enumerate(model.graph.node):  # layers are left out by their names
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.save(model, prepared)
    return prepared


def _quantised(
    source: Path, samples: list[Row], reference: Answers, options: Options, work: Path, watch: Watch, *, narrow: bool
) -> tuple[Path, dict[str, object]]:
    """The first of ever more careful quantisations that holds the score. Raises ConversionError."""
    left: list[str] = []
    order: list[str] = []
    for attempt in range(_TRIES):
        watch.report("quantising", attempt, _TRIES)
        path = work / f"int8-{attempt}.onnx"
        _quantise(source, path, samples, left, watch, narrow=narrow)
        answers = _answers(runtimes.load(Format.ONNX, path), samples)
        drop = 1.0 - mean_score(options.task, reference, answers)
        details: dict[str, object] = {"drop": round(drop, 6), "left_in_floating_point": left}
        tried = len(left)
        if options.max_drop is None or drop <= options.max_drop:
            return path, details
        order = order or _most_sensitive(source, path, samples, work)
        left = order[: 2**attempt]
        if len(left) >= len(order):  # nothing would be quantised any more
            break
    raise ConversionError(
        f"INT8 loses {drop:.2%} of the score even with {tried} layers in floating point, and --max-drop allows "
        f"{options.max_drop:.2%}",
        do="allow more, or use FP16",
    )


def _quantise(
    source: Path, target: Path, samples: list[Row], left: Sequence[str], watch: Watch, *, narrow: bool
) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    quantize_static(
        str(source),
        str(target),
        _reader(samples, watch),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        reduce_range=narrow,
        calibrate_method=CalibrationMethod.MinMax,
        op_types_to_quantize=list(_HEAVY),
        nodes_to_exclude=list(left),
        # TensorRT takes no INT32 biases between Q and DQ.
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )


def _reader(samples: list[Row], watch: Watch) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.number = 0

        def get_next(self) -> Row | None:
            if self.number == len(samples):
                return None
            self.number += 1
            watch.report("calibrating", self.number, len(samples))
            return samples[self.number - 1]

    return Reader()


def _most_sensitive(source: Path, quantised: Path, samples: list[Row], work: Path) -> list[str]:
    """The quantised layers, that first whose output is furthest from the original's (signal to noise)."""
    import onnx
    from onnxruntime.quantization import qdq_loss_debug as loss

    few = samples[:16]
    seen = {}
    for name, path in (("float", source), ("int8", quantised)):
        augmented = work / f"seen-{name}.onnx"
        loss.modify_model_output_intermediate_tensors(str(path), str(augmented))
        seen[name] = loss.collect_activations(str(augmented), _reader(few, Unwatched()))
    pairs = loss.create_activation_matching(seen["int8"], seen["float"])
    noise = {tensor: error["xmodel_err"] for tensor, error in loss.compute_activation_error(pairs).items()}
    graph = onnx.load(source, load_external_data=False).graph
    layers = [node for node in graph.node if node.op_type in _HEAVY and node.output[0] in noise]
    return [node.name for node in sorted(layers, key=lambda node: noise[node.output[0]])]


def _answers(run: Run, samples: list[Row]) -> Answers:
    return [run(row) for row in samples]

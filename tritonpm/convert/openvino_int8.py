"""INT8 for OpenVINO by NNCF: post-training quantisation, calibrated on real samples.

With `max_drop` the layers that cost too much of the score stay in floating point. The score is agreement with the
original, so no labels are needed (see `scoring`). Source: NNCF's post-training quantisation documents.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tritonpm.convert.calibration import Row, rows
from tritonpm.convert.conversion import Artefact, Conversion, ConversionError, Options, Record, Watch, version
from tritonpm.convert.openvino_ir import plain, ported, settled
from tritonpm.convert.precise import keep_precision
from tritonpm.convert.runtimes import compile_openvino
from tritonpm.convert.scoring import mean_score, score
from tritonpm.core.errors import TritonpmError
from tritonpm.core.sandbox import says_out_of_memory
from tritonpm.core.tensors import Array
from tritonpm.core.types import Format, Gpu, Task

Answers = list[dict[str, Array]]


def convert(artefact: Artefact, options: Options, device: Gpu | None, folder: Path, watch: Watch) -> Conversion:
    """Write model.xml and model.bin into `folder`. Raises ConversionError: no samples, or nothing within max_drop."""
    tools = {name: version(name) for name in ("openvino", "nncf")}
    samples = rows(artefact, options)
    model, layouts = ported(artefact)
    watch.report("calibrating", 0, len(samples))
    details: dict[str, object] = {"samples": len(samples), "layouts": layouts}
    try:
        quantised = _quantised(model, samples, options, watch, details)
    except (TritonpmError, MemoryError):
        raise
    except Exception as error:  # NNCF's own exceptions share no base with OpenVINO's
        if says_out_of_memory(str(error)):
            raise
        raise ConversionError(f"NNCF cannot quantise it: {plain(error)}", where=artefact.model.name) from None
    import openvino

    target = folder / "model.xml"
    openvino.save_model(quantised, str(target), compress_to_fp16=False)
    keep_precision(target, fp32=not options.bf16)
    made = Artefact(Format.OPENVINO, target, settled(artefact.signature, quantised))
    return Conversion(made, Record("openvino-int8", tools, details))


def _quantised(model: Any, samples: list[Row], options: Options, watch: Watch, details: dict[str, object]) -> Any:
    import nncf

    nncf.set_log_level(logging.ERROR)
    batches = _told(samples, watch)
    reference = _answers(compile_openvino(model), samples)
    # Activations of a convolution net sit on one side of zero after its ReLUs: asymmetric where that pays (mixed).
    common = {"preset": nncf.QuantizationPreset.MIXED, "subset_size": len(samples)}
    if options.max_drop is None:
        quantised = nncf.quantize(model, nncf.Dataset(batches), **common)
    else:
        pairs = list(zip(samples, reference, strict=True))
        quantised = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(batches),
            nncf.Dataset(pairs),
            validation_fn=_validation(options.task),
            max_drop=options.max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            **common,
        )
    if not _count(quantised, "FakeQuantize"):
        raise ConversionError("NNCF found nothing in it to quantise", do="use FP16, or FP32")
    drop = 1.0 - mean_score(options.task, reference, _answers(compile_openvino(quantised), samples))
    kept = _floating(quantised)
    details.update(drop=round(drop, 6), left_in_floating_point=kept, quantisers=_count(quantised, "FakeQuantize"))
    if options.max_drop is not None and drop > options.max_drop:
        raise ConversionError(
            f"INT8 loses {drop:.2%} of the score even so, and --max-drop allows {options.max_drop:.2%}",
            do="allow more, or use FP16",
        )
    return quantised


def _told(samples: list[Row], watch: Watch) -> Iterable[Row]:
    """The samples, telling how many were looked at; NNCF goes through them more than once."""

    class Told:
        def __iter__(self) -> Any:
            for number, row in enumerate(samples, 1):
                watch.report("calibrating", number, len(samples))
                yield row

        def __len__(self) -> int:
            return len(samples)

    return Told()


def _validation(task: Task) -> Any:
    """NNCF's validation function: the mean score, and each row's."""

    def validate(compiled: Any, pairs: Iterable[tuple[Row, dict[str, Array]]]) -> tuple[float, list[float]]:
        scores = [score(task, want, _answer(compiled, row)) for row, want in pairs]
        return sum(scores) / len(scores), scores

    return validate


def _answers(compiled: Any, samples: Sequence[Row]) -> Answers:
    return [_answer(compiled, row) for row in samples]


def _answer(compiled: Any, row: Row) -> dict[str, Array]:
    answer = compiled(dict(row), share_inputs=False)
    return {port.get_any_name(): answer[port].copy() for port in compiled.outputs}


def _count(model: Any, kind: str) -> int:
    return sum(op.get_type_name() == kind for op in model.get_ops())


_MOVING = ("MaxPool", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Pad", "StridedSlice", "Slice")
_QUANTISABLE = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")


def _floating(model: Any) -> list[str]:
    """The heavy layers that no quantiser feeds."""
    heavy = [op for op in model.get_ops() if op.get_type_name() in _QUANTISABLE]
    return sorted(op.get_friendly_name() for op in heavy if not _quantised_input(op))


def _quantised_input(op: Any) -> bool:
    """Whether a quantiser feeds it, perhaps through what only moves values."""
    node = op.input_value(0).get_node()
    while node.get_type_name() in _MOVING:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")

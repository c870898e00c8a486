"""An engine's layers: what its build says of them, and on a GPU what they take."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonpm.convert.layer import Layer
from tritonpm.convert.running import NotRunnableError, Run, RunFailedError
from tritonpm.core.extras import install
from tritonpm.core.tensors import Array

_WARM_UP, _RUNS = 3, 20
_TYPES = {
    "Float": "FP32", "FP32": "FP32", "Half": "FP16", "FP16": "FP16", "BFloat16": "BF16", "BF16": "BF16",
    "Int8": "INT8", "INT8": "INT8", "UInt8": "UINT8", "FP8": "FP8", "Int32": "INT32", "Int64": "INT64", "Bool": "BOOL",
}  # fmt: skip
# A line of the table that a verbose build prints; nothing else tells the layers where no GPU is there to load the plan.
_LINE = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<kind>.*?), Inputs: .*?TacticName: (?P<tactic>.*?), StreamId")
_OUTPUTS = re.compile(r"Outputs: \[(.*?)\], TacticName")
_DATATYPE = re.compile(r"Datatype: (\w+)")


def from_log(messages: Iterable[str]) -> list[Layer]:
    """The layers in a builder's verbose messages."""
    table = next((message for message in messages if message.startswith("Layers:")), "")
    return [_from_line(line, match) for line in table.splitlines() if (match := _LINE.match(line))]


def _from_line(line: str, match: re.Match[str]) -> Layer:
    outputs = _OUTPUTS.search(line)
    kinds = _DATATYPE.findall(outputs[1] if outputs else line)
    precision = _TYPES.get(kinds[0], kinds[0]) if kinds else ""
    return Layer(match["name"], match["kind"], match["tactic"], precision)


def from_inspector(text: str) -> list[Layer]:
    """The layers in the engine inspector's JSON."""
    return [_from_entry(entry) for entry in json.loads(text).get("Layers", [])]


def _from_entry(entry: Any) -> Layer:
    if isinstance(entry, str):  # without detailed verbosity there are only names
        return Layer(entry, "")
    outputs = entry.get("Outputs") or [{}]
    kind = str(outputs[0].get("Format/Datatype", outputs[0].get("Datatype", "")))
    precision = next((_TYPES[word] for word in re.findall(r"\w+", kind) if word in _TYPES), kind)
    return Layer(entry.get("Name", ""), entry.get("LayerType", ""), entry.get("TacticName", ""), precision)


def as_record(layers: Sequence[Layer]) -> list[list[str]]:
    """Layers as a step's details keep them."""
    return [[layer.name, layer.kind, layer.kernel, layer.precision] for layer in layers]


def run(plan: Path) -> Run:
    """The engine as a function, by Polygraphy's runner. Raises NotRunnableError where no GPU is there."""
    runner = _runner(plan)

    def answer(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array.copy() for name, array in runner.infer(dict(inputs)).items()}

    return answer


def profile(plan: Path, inputs: Mapping[str, Array], trt: Any) -> list[Layer]:
    """What each layer takes, by TensorRT's profiler. Raises NotRunnableError where no GPU is there."""
    runner = _runner(plan)
    total: dict[str, float] = {}

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            total[layer_name] = total.get(layer_name, 0.0) + ms * 1e3

    try:
        for _ in range(_WARM_UP):
            runner.infer(dict(inputs))
        runner.context.profiler = Profiler()
        for _ in range(_RUNS):
            runner.infer(dict(inputs))
    except Exception as error:  # Polygraphy's and CUDA's own
        raise RunFailedError(" ".join(str(error).split())[:200]) from None
    inspector = runner.engine.create_engine_inspector()
    known = {
        layer.name: layer for layer in from_inspector(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    }
    unknown = Layer("", "")
    return [
        Layer(name, known.get(name, unknown).kind, known.get(name, unknown).kernel, known.get(name, unknown).precision,
              micros / _RUNS)
        for name, micros in total.items()
    ]  # fmt: skip


def _runner(plan: Path) -> Any:
    require_gpu()
    if importlib.util.find_spec("tensorrt") is None:
        raise NotRunnableError("only TensorRT's own engines are run here, not those of TensorRT-RTX")
    try:
        from polygraphy.backend.trt import EngineFromBytes, TrtRunner
    except ImportError:
        raise NotRunnableError(f"polygraphy, which runs engines, is not installed; {install('tensorrt')}") from None
    runner = TrtRunner(EngineFromBytes(plan.read_bytes()))
    runner.activate()
    return runner


def require_gpu() -> None:
    """Raises NotRunnableError."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NotRunnableError(f"there is no GPU here to run it on ({error})") from None
    pynvml.nvmlShutdown()

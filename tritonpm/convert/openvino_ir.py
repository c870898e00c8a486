"""OpenVINO IR from whatever OpenVINO reads: ONNX, TensorFlow SavedModel, Keras 3, TFLite, PaddlePaddle, PyTorch export.

Source: OpenVINO's model preparation documents. Weights are compressed to FP16 at that precision; the answers are then
computed in FP32 still, unless the plugin is told otherwise.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonpm.convert.conversion import (
    Artefact,
    Conversion,
    ConversionError,
    MissingToolError,
    Options,
    Record,
    Watch,
    version,
)
from tritonpm.convert.precise import keep_precision
from tritonpm.convert.runtimes import load_keras, output_names, script_inputs, script_outputs
from tritonpm.core.extras import to_install
from tritonpm.core.types import Format, Gpu, Signature, Tensor

_CHANNELS = (1, 3, 4)  # of an image
_MOST_BATCH = 1024  # that an export of PyTorch's is asked to take


def convert(artefact: Artefact, options: Options, device: Gpu | None, folder: Path, watch: Watch) -> Conversion:
    """Write model.xml and model.bin into `folder`. Raises ConversionError, MissingToolError."""
    tools = {"openvino": version("openvino")}
    import openvino

    watch.report("reading", 0, 0)
    model, layouts = ported(artefact)
    watch.report("writing", 0, 0)
    target = folder / "model.xml"
    openvino.save_model(model, str(target), compress_to_fp16=options.precision == "FP16")
    keep_precision(target, fp32=not options.bf16)
    computes = "bf16 where the CPU has it" if options.bf16 else "FP32"
    details = {"weights": options.precision, "layouts": layouts, "computes": computes}
    signature = settled(artefact.signature, model) if artefact.signature.inputs else signature_of(model)
    return Conversion(Artefact(Format.OPENVINO, target, signature), Record("openvino", tools, details))


def ported(artefact: Artefact) -> tuple[Any, dict[str, str]]:
    """An OpenVINO model with the artefact's names, and the layouts of its inputs.

    Raises ConversionError, MissingToolError.
    """
    import openvino

    try:
        model = _read(openvino, artefact)
    except ConversionError:
        raise
    except ImportError as error:
        name = error.name or str(error)
        raise MissingToolError(f"{name} is not installed", do=to_install(name)) from None
    except Exception as error:  # each frontend has exceptions of its own
        why = plain(error).replace(str(artefact.model), artefact.model.name)
        raise ConversionError(f"OpenVINO cannot convert it: {why}", where=artefact.model.name) from None
    _name(model, artefact.signature)
    return model, _lay_out(openvino, model, artefact.signature)


def settled(signature: Signature, model: Any) -> Signature:
    """A signature whose outputs have the sizes that the original leaves open and the IR says: servers compare them."""
    outputs = []
    for tensor, known in zip(signature.outputs, signature_of(model).outputs, strict=True):
        if tensor.shape is not None and known.shape is not None and len(tensor.shape) == len(known.shape):
            sizes = zip(tensor.shape, known.shape, strict=True)
            tensor = replace(tensor, shape=tuple(b if isinstance(b, int) else a for a, b in sizes))
        outputs.append(tensor)
    return replace(signature, outputs=tuple(outputs))


def signature_of(model: Any) -> Signature:
    """The tensors as OpenVINO has them, for formats whose files do not tell."""

    def tensor(port: Any) -> Tensor:
        shape = port.get_partial_shape()
        sizes = None if shape.rank.is_dynamic else tuple(d.get_length() if d.is_static else "?" for d in shape)
        names = port.get_names()
        return Tensor(min(names) if names else port.get_node().get_friendly_name(), _dtype(port), sizes)

    return Signature(tuple(map(tensor, model.inputs)), tuple(map(tensor, model.outputs)))


def _dtype(port: Any) -> str:
    """Triton's name of an element type: f32 → FP32, i64 → INT64, string → BYTES."""
    name: str = port.get_element_type().get_type_name()
    kind, bits = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
    return {"f": "FP", "bf": "BF", "i": "INT", "u": "UINT", "boolean": "BOOL", "string": "BYTES"}[kind] + bits


def _read(openvino: Any, artefact: Artefact) -> Any:
    path = artefact.model
    if artefact.format is Format.OPENVINO:
        return openvino.Core().read_model(str(path))
    if artefact.format is Format.TORCH_EXPORT:
        return _read_torch_export(openvino, path)
    if artefact.format is Format.TORCHSCRIPT:
        return _read_torch_script(openvino, path, artefact.signature)
    if artefact.format is Format.KERAS:
        return _read_keras(openvino, path)
    return openvino.convert_model(str(path))


def _read_torch_export(openvino: Any, path: Path) -> Any:
    """With the names that the export has, where OpenVINO gives numbers, and the sizes that it leaves open."""
    import torch

    program = torch.export.load(str(path))
    model = openvino.convert_model(program)
    signature = program.graph_signature
    for ports, names in ((model.inputs, signature.user_inputs), (model.outputs, signature.user_outputs)):
        for port, name in zip(ports, names, strict=True):
            port.set_names({str(name)})
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    sizes = [[size if isinstance(size, int) else -1 for size in values[name].shape] for name in signature.user_inputs]
    model.reshape(dict(zip(model.inputs, map(openvino.PartialShape, sizes), strict=True)))
    return model


def _read_torch_script(openvino: Any, path: Path, signature: Signature) -> Any:
    """The file tells its inputs' names alone: shapes are the signature's, outputs called as Triton's backend does."""
    import torch

    module = torch.jit.load(str(path), map_location="cpu")
    if signature.inputs:
        return openvino.convert_model(module, input=_shapes(openvino, signature))
    model = openvino.convert_model(module)
    for port, name in zip(model.inputs, script_inputs(module), strict=True):
        port.set_names({name})
    for port, name in zip(model.outputs, script_outputs(len(model.outputs)), strict=True):
        port.set_names({name})
    unknown = next((port for port in model.inputs if port.get_partial_shape().rank.is_dynamic), None)
    if unknown is not None:
        what = f"does not say how many dimensions its input {unknown.get_any_name()!r} has"
        do = "export it with torch.export or to ONNX, or give its `signature` in a package.yaml"
        raise ConversionError(what, where=path.name, do=do)
    return model


def _read_keras(openvino: Any, path: Path) -> Any:
    """Through PyTorch's export, with every batch: Keras's own export to OpenVINO fixes the batch inside the network."""
    import torch

    keras_model = load_keras(path)
    examples = tuple(torch.zeros(2, *(size or 1 for size in tensor.shape[1:])) for tensor in keras_model.inputs)
    any_batch = tuple({0: torch.export.Dim("batch", min=1, max=_MOST_BATCH)} for _ in examples)
    program = torch.export.export(keras_model, examples, dynamic_shapes=(any_batch,), strict=False)
    model = openvino.convert_model(program)
    for port, tensor in zip(model.inputs, keras_model.inputs, strict=True):
        port.set_names({tensor.name})
    for port, name in zip(model.outputs, output_names(keras_model), strict=True):
        port.set_names({name})
    model.reshape(
        {
            port: openvino.PartialShape([-1, *(size or -1 for size in tensor.shape[1:])])
            for port, tensor in zip(model.inputs, keras_model.inputs, strict=True)
        }
    )
    return model


def _shapes(openvino: Any, signature: Signature) -> list[Any]:
    from tritonpm.core.types import dims

    return [openvino.PartialShape(list(dims(tensor.shape or ()))) for tensor in signature.inputs]


def _name(model: Any, signature: Signature) -> None:
    """Give the ports the signature's names, in order, where the frontend lost them: clients send by name."""
    for ports, tensors in ((model.inputs, signature.inputs), (model.outputs, signature.outputs)):
        known = {tensor.name for tensor in tensors}
        if len(ports) != len(tensors) or all(known & port.get_names() for port in ports):
            continue
        for port, tensor in zip(ports, tensors, strict=True):
            port.set_names({tensor.name})


def _lay_out(openvino: Any, model: Any, signature: Signature) -> dict[str, str]:
    """Record the inputs' layouts: the file's own, else where the shape is plainly an image's.

    Not the outputs': where a layout names N on every tensor, Triton's native backend takes max_batch_size 0 for unsaid.
    """
    layouts = {tensor.name: tensor.layout for tensor in signature.inputs}
    layouts = {}
    for port, parameter in zip(model.inputs, model.get_parameters(), strict=True):
        name = next((name for name in port.get_names() if name in layouts), "")
        if layout := layouts.get(name) or _image_layout(port.get_partial_shape()):
            parameter.set_layout(openvino.Layout(layout))
            layouts[name or parameter.get_friendly_name()] = layout
    return layouts


def _image_layout(shape: Any) -> str:
    if shape.rank.is_dynamic or len(shape) != 4:
        return ""
    sizes = [size.get_length() if size.is_static else -1 for size in shape]
    if sizes[1] in _CHANNELS and sizes[3] not in _CHANNELS:
        return "NCHW"
    return "NHWC" if sizes[3] in _CHANNELS and sizes[1] not in _CHANNELS else ""


def plain(error: Exception) -> str:
    """OpenVINO's message without the places in its source that it names."""
    text = re.sub(r"(Exception from|Check .* failed at) \S+:\d+:|\S+\.(?:cpp|hpp|py):\d+:?", "", str(error))
    return " ".join(text.split())[:400]

"""The tensors of an OpenVINO model (IR): the .xml is read element by element, the .bin only measured.

Names are those that OpenVINO addresses the tensors by: of several, the first in the alphabet (`get_any_name`).
Source: OpenVINO's IR format document; Triton's openvino backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from tritonpm.core.errors import PackageError, UnsafeError
from tritonpm.core.types import DTYPES, Shape, Signature, Tensor
from tritonpm.core.units import MIB, human
from tritonpm.meaning.inferred.model_api import PREFIX
from tritonpm.package.labels import KEYS, parsed
from tritonpm.package.limits import Limits
from tritonpm.package.signature.model_file import ReadModel

_TYPES = {"STRING": "BYTES", "BOOL": "BOOL", "BOOLEAN": "BOOL"} | {
    (name.replace("UINT", "U").replace("INT", "I")): name for name in DTYPES if name not in ("BYTES", "BOOL")
}
_VERSIONS = ("10", "11")
_BOUNDED = re.compile(r"(\d{0,18})\.\.(\d{1,18})", re.ASCII)  # an open size that has a largest
_AGAIN = "convert or copy it again"
_DEPTH, _ALIVE = 100, 200_000  # elements one in another, and elements of a layer that has not ended


@dataclass
class _Net:
    """What has been seen of the model so far."""

    where: str
    version: str = ""
    inputs: list[Tensor] = field(default_factory=list)
    results: list[tuple[str, str, Any]] = field(default_factory=list)  # layer id, names, its input port
    names: dict[tuple[str, str], str] = field(default_factory=dict)  # (layer id, port id) → names
    layouts: dict[tuple[str, str], str] = field(default_factory=dict)  # (layer id, port id) → layout
    sources: dict[str, tuple[str, str]] = field(default_factory=dict)  # layer id → what feeds it
    labels: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    softmaxes: set[str] = field(default_factory=set)  # layers that are one
    weights: int = 0  # bytes of the .bin that are referred to


def read(path: Path, where: str, limits: Limits) -> ReadModel:
    """The signature, the metadata, and the .bin's name where there is one. Raises PackageError, UnsafeError."""
    size = path.stat().st_size
    if size > limits.graph:
        raise UnsafeError(f"is longer than {human(limits.graph)}", where=where, do=_AGAIN)
    net = _Net(where)
    with path.open("rb") as stream:
        for depth, element, parent in _elements(stream, net):
            _take(net, depth, element, parent)
    if not net.results:
        raise PackageError("has no outputs", where=where, do=_AGAIN)
    weights = path.with_suffix(".bin")
    has_weights = weights.is_file()
    if net.weights and not has_weights:
        raise PackageError("needs its .bin beside it", where=where, do="provide both files")
    if has_weights and net.weights > weights.stat().st_size:
        raise PackageError("has weights past the end of its .bin", where=where, do="copy both files again")
    ranked = all(tensor.shape is not None for tensor in net.inputs)
    outputs = tuple(_output(net, *result, ranked) for result in net.results)
    softmax = any(net.sources.get(layer, ("", ""))[0] in net.softmaxes for layer, _, _ in net.results)
    signature = Signature(tuple(net.inputs), outputs, net.labels)
    return ReadModel(signature, (weights.name,) if has_weights else (), net.metadata, softmax)


def _elements(stream: BinaryIO, net: _Net) -> Iterator[tuple[int, Any, str]]:
    """Each element as it ends, its depth (the root has 0), its parent's tag; what was seen goes but in a layer."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    where, waste = net.where, UnsafeError("has too many parts to be looked through", where=net.where, do=_AGAIN)
    opened: list[tuple[Any, int]] = []  # the elements we are in, and how many were alive before each
    alive = layers = 0
    try:
        for event, element in iterparse(_Large(stream), events=("start", "end"), forbid_dtd=True):
            if event == "start":
                if not opened:
                    _check_root(net, element)
                opened.append((element, alive))
                alive += 1
                layers += element.tag == "layer"
                if len(opened) > _DEPTH or alive > _ALIVE:
                    raise waste
                continue
            _, before = opened.pop()
            yield len(opened), element, opened[-1][0].tag if opened else ""
            layers -= element.tag == "layer"
            around = opened[-1][0] if opened else element
            if not layers or (element.tag == "layer" and around.tag != "layer"):
                element.clear()
                del around[:]  # those parsed ahead too: their events keep them
                alive = before
    except DefusedXmlException:
        raise UnsafeError("defines XML entities or a document type", where=where, do=_AGAIN) from None
    except (ParseError, ValueError, LookupError):  # the last two: of an encoding that expat does not know
        raise PackageError("is not an OpenVINO model, or is cut off", where=where, do=_AGAIN) from None


class _Large:
    """A stream read in large pieces: expat looks through an unfinished token again with every piece it is given."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def read(self, _: int = 0) -> bytes:
        return self.stream.read(MIB)


def _check_root(net: _Net, root: Any) -> None:
    net.version = root.get("version", "")
    if root.tag != "net" or net.version not in _VERSIONS:
        raise PackageError("is not an OpenVINO model of IR version 10 or 11", where=net.where, do=_AGAIN)


def _take(net: _Net, depth: int, element: Any, parent: str) -> None:
    if element.tag == "layer":
        _check_layer(net, element)
        if depth == 2:  # not inside the body of a loop or branch
            _take_layer(net, element)
            if str(element.get("type")).lower() == "softmax":
                net.softmaxes.add(element.get("id", ""))
    elif element.tag == "edge" and depth == 2:
        net.sources[element.get("to-layer", "")] = (element.get("from-layer", ""), element.get("from-port", ""))
    elif parent == "model_info":
        net.metadata[PREFIX + element.tag] = element.get("value", "")
    if element.tag in KEYS and (text := element.get("value")) and not net.labels:
        net.labels = parsed(text) if re.search(r"[,\[{]", text) else parsed("\n".join(text.split()))


def _check_layer(net: _Net, layer: Any) -> None:
    version = layer.get("version", "opset1")
    if not re.fullmatch(r"opset\d+", version):
        raise PackageError(
            f"uses the operator {layer.get('type')!r} of the unknown domain {version!r}",
            where=net.where,
            do="export it without custom operators",
        )
    data = layer.find("data")
    if layer.get("type") == "Const" and data is not None:
        numbers = [data.get("offset", "0"), data.get("size", "0")]
        if not all(re.fullmatch(r"\d{1,19}", number, re.ASCII) for number in numbers):
            raise PackageError("has weights that are nowhere in its .bin", where=net.where, do=_AGAIN)
        if int(numbers[1]):
            net.weights = max(net.weights, sum(map(int, numbers)))


def _take_layer(net: _Net, layer: Any) -> None:
    number, kind, own = layer.get("id", ""), layer.get("type"), layer.get("name", "")
    ports = layer.findall("output/port")
    for index, port in enumerate(ports):
        plain = own if len(ports) == 1 else f"{own}.{index}"  # how IR version 10 names a layer's outputs
        if names := port.get("names") or (plain if net.version == "10" else ""):
            net.names[number, port.get("id", "")] = names
        if layout := _layout(port):
            net.layouts[number, port.get("id", "")] = layout
    if kind == "Parameter":
        port = ports[0] if ports else None
        data = layer.find("data")
        dynamic_rank = data is not None and data.get("shape") == "..."
        name = _name(net, "input", net.names.get((number, port.get("id", "")), "") if port is not None else "", own)
        tensor = _tensor(net, "input", name, port, None if dynamic_rank else _dims(port))
        net.inputs.append(replace(tensor, bounds=_bounds("" if data is None else data.get("shape", ""))))
    elif kind == "Result":
        port = layer.find("input/port")
        kept = None if port is None else _copied(port)
        net.results.append((number, layer.get("output_names", ""), kept))


def _copied(port: Any) -> Any:
    from copy import deepcopy

    return deepcopy(port)  # the layer is emptied before its edges are read


def _output(net: _Net, layer: str, names: str, port: Any, ranked: bool) -> Tensor:
    names = names or net.names.get(net.sources.get(layer, ("", "")), "")
    shape = _dims(port) or (() if ranked else None)  # the .xml writes a scalar and an unknown rank alike
    tensor = _tensor(net, "output", _name(net, "output", names, f"layer {layer}"), port, shape)
    return replace(tensor, layout=net.layouts.get(net.sources.get(layer, ("", "")), ""))


def _name(net: _Net, side: str, names: str, layer: str) -> str:
    """The first of a port's names; a comma inside a name is written with a backslash."""
    listed = sorted(name.replace("\\,", ",") for name in re.split(r"(?<!\\),", names) if name)
    if not listed or not listed[0].isprintable():
        raise PackageError(f"its {side} {layer!r} has no tensor name", where=net.where, do="name it in the conversion")
    return listed[0]


def _dims(port: Any) -> Shape:
    if port is None:
        return ()
    sizes = [(dim.text or "").strip() for dim in port.findall("dim")]
    return tuple(int(size) if re.fullmatch(r"\d{1,18}", size, re.ASCII) else "?" for size in sizes)


def _bounds(shape: str) -> tuple[tuple[int, int, int], ...]:
    """Of "?,1..8,3" those of the second: (1, 1, 8)."""
    found = ((place, _BOUNDED.fullmatch(size.strip())) for place, size in enumerate(shape.split(",")))
    return tuple((place, int(match[1] or 0), int(match[2])) for place, match in found if match)


def _tensor(net: _Net, side: str, name: str, port: Any, shape: Shape | None) -> Tensor:
    precision = "" if port is None else port.get("precision", "")
    if precision not in _TYPES:
        raise PackageError(f"its {side} {name!r} is {precision or 'untyped'}, which Triton has no type for",
                           where=net.where, do="cast it in the model")  # fmt: skip
    return Tensor(name, _TYPES[precision], shape, layout="" if port is None else _layout(port))


def _layout(port: Any) -> str:
    """As "NCHW"; "" where the port has none, or one that names nothing."""
    written = next((a.get("layout", "") for a in port.iter("attribute") if a.get("name") == "layout"), "")
    layout = re.sub(r"[\[\],]", "", written)
    return "" if layout == "..." else layout

"""What a model file asks of the runtime that loads it: the version of its format, and of its operators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tritonpm.core.errors import PackageError
from tritonpm.core.types import Format, Needs
from tritonpm.core.units import MIB
from tritonpm.package.limits import Limits

DEFAULT_LOCALE = "en_US.UTF-8"  # that ONNX Runtime takes where a model names none
_LAYER = re.compile(rb'\bversion="opset(\d{1,4})"')
_PREVIEW = "ai.onnx.preview"  # domains of operators that ONNX Runtime has none of
_BLOCK = 1 << 20
_MOST = 512 * MIB  # of a model whose operators are looked at one by one
_LONGEST = 64  # bytes of what is looked for: it may lie across two blocks


def needs(path: Path, format: Format) -> Needs:
    """Of a model file of that format. Raises PackageError for one that cannot be read."""
    if format is Format.ONNX:
        from tritonpm.package.signature.onnx import needs as of_onnx

        return of_onnx(path, path.name, Limits())
    return Needs(openvino=_newest_layer(path)) if format is Format.OPENVINO else Needs()


def _newest_layer(path: Path) -> int:
    newest, end = 0, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            newest = max([newest, *map(int, _LAYER.findall(end + block))])
            end = block[-_LONGEST:]
    return newest


def operators_without(path: Path, onnxruntime: str) -> list[str]:
    """Operators of an ONNX model that this version does not load on a CPU, with what of them it is about.

    Raises PackageError for a model that cannot be read.
    """
    from tritonpm.package import kernels
    from tritonpm.package.opsets import Opsets

    model, version = _whole(path), tuple(map(int, onnxruntime.split(".")))
    opsets, own, found = Opsets.of(model, Needs()), {function.name for function in model.functions}, dict[str, None]()
    for node in opsets.nodes():
        if node.domain.startswith(_PREVIEW):
            found[f"{node.op_type} of {node.domain}"] = None
            continue
        new = opsets.new(node) if node.op_type not in own else None
        if new is None:
            continue
        known = kernels.facts(node, new, opsets.binding(node))
        if (lacking := kernels.refused(new, known, version)) is not None:
            about = ", ".join(filter(None, (f"opset {new.since_version}", kernels.words(lacking))))
            found[f"{node.op_type} ({about})"] = None
    return list(found)


def locales(path: Path) -> list[str]:
    """The locales of the machine that an ONNX model's operators ask for. Raises PackageError as above."""
    from tritonpm.package.opsets import graphs

    found = dict[str, None]()
    for node in (node for graph in graphs(_whole(path).graph) for node in graph.node):
        if node.op_type == "StringNormalizer":
            said = {attribute.name: attribute for attribute in node.attribute}
            folded = "is_case_sensitive" not in said or not said["is_case_sensitive"].i
            if folded or ("case_change_action" in said and said["case_change_action"].s != b"NONE"):
                found[said["locale"].s.decode() if "locale" in said and said["locale"].s else DEFAULT_LOCALE] = None
    return list(found)


def locale_sentence(what: str, locale: str) -> str:
    """What a model with a StringNormalizer asks of the machine that serves it."""
    return (
        f"{what} has a StringNormalizer, for which ONNX Runtime needs the locale {locale} of the machine that serves; "
        f"generate it where it is missing, as in NVIDIA's container: locale-gen {locale}"
    )


def _whole(path: Path) -> Any:
    """A model with what its nodes are connected by; its weights are read, too. Raises PackageError."""
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > _MOST:
        return onnx.ModelProto()
    try:
        return onnx.load(path, load_external_data=False)
    except DecodeError:
        raise PackageError(
            "is not an ONNX model, or is cut off", where=path.name, do="export or copy it again"
        ) from None

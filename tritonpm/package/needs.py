"""What a model file asks of the runtime that loads it: the version of its format, and of its operators."""

from __future__ import annotations

import re
from pathlib import Path

from tritonpm.core.types import Format, Needs
from tritonpm.package.limits import Limits

DEFAULT_LOCALE = "en_US.UTF-8"  # that ONNX Runtime takes where a model names none
_LAYER = re.compile(rb'\bversion="opset(\d{1,4})"')
_BLOCK = 1 << 20
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
    from tritonpm.package.kernels import lacks
    from tritonpm.package.signature.onnx import skimmed

    model = skimmed(path, path.name, Limits())
    return list(dict.fromkeys(str(lack) for lack in lacks(model) if lack.concerns(onnxruntime)))


def locales(path: Path) -> list[str]:
    """The locales of the machine that an ONNX model's operators ask for. Raises PackageError as above."""
    from tritonpm.package.opsets import graphs
    from tritonpm.package.signature.onnx import skimmed

    found = dict[str, None]()
    for node in (node for graph in graphs(skimmed(path, path.name, Limits()).graph) for node in graph.node):
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

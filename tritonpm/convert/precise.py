"""An IR that computes in FP32 wherever it is served, as it was proved.

Triton's openvino backend leaves the precision to OpenVINO, which computes FP32 in bf16 on CPUs that have it (AMX,
AVX512_BF16), and takes no parameter that stops it. A layer that carries the attribute `precise` is left out of that:
seen with OpenVINO 2024.4 (24.10) and 2026.4 on a CPU with AVX512_BF16, where the answers are then those of FP32 bit by
bit. Quantised layers stay quantised.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

_ATTRIBUTE = {"name": "precise", "version": "0"}
_MARK = "attribute[@name='precise']"


def keep_precision(model: Path, *, fp32: bool) -> None:
    """Mark every layer of an IR that we wrote, those of loops and branches too, or none; constants compute nothing."""
    from defusedxml.ElementTree import parse

    tree = parse(model)
    for layer in tree.iter("layer"):
        information = layer.find("rt_info")
        if information is not None:
            for mark in information.findall(_MARK):
                information.remove(mark)
        if not fp32 or layer.get("type") == "Const":
            continue
        if information is None:
            information = Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, information)
        SubElement(information, "attribute", _ATTRIBUTE)
    tree.write(model, encoding="utf-8", xml_declaration=True)

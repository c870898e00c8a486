"""What the machine's processor and driver are, as far as a requirement asks."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from tritonpm.core.types import Gpu
from tritonpm.hardware.machine import gpus

_CPUINFO = Path("/proc/cpuinfo")
_GENERATION = re.compile(r"(\d{1,2})th Gen Intel")
_CORE = re.compile(r"Core(?:\(TM\))?\s+(?:i[3579]|m[357])-(\d{1,5})([A-Z]\d+)?")
_SERIES = re.compile(r"Core(?:\(TM\))?\s+[3579]\s+\d{3}")  # Core 7 150U: named so after the fourteenth generation
_ULTRA = 14  # Core Ultra came after the fourteenth generation, and counts no more
_FIRST = 3  # digits of the first generation: Core i7-950


@dataclass(frozen=True)
class Host:
    """The processor's name and flags, the NVIDIA driver ("" where there is none), CUDA's major that is installed."""

    cpu: str
    flags: frozenset[str]
    driver: str
    cuda: int  # of the installed TensorRT; 0 where none is
    gpus: tuple[Gpu, ...] = ()
    x86: bool = True


@cache
def host() -> Host:
    """This machine."""
    text = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.is_file() else ""
    name, flags = cpu_of(text)
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return Host(name or platform.processor() or platform.machine(), flags, _driver(), _cuda(), gpus()[0], x86)


def cpu_of(cpuinfo: str) -> tuple[str, frozenset[str]]:
    """The model name and the flags of the first processor in /proc/cpuinfo's text."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", ""), frozenset(fields.get("flags", "").split())


def core_generation(cpu: str) -> int | None:
    """The generation of an Intel Core processor by its name; None for any other: i5-6500 → 6, Core Ultra → 14."""
    if "Intel" not in cpu:
        return None
    if match := _GENERATION.search(cpu):
        return int(match[1])
    if ("Core" in cpu and "Ultra" in cpu) or _SERIES.search(cpu):
        return _ULTRA
    match = _CORE.search(cpu)
    if match is None:
        return None
    digits, letters = match[1], match[2] or ""
    if len(digits) == 1:  # m3-6Y30
        return int(digits)
    if len(digits) == 4 and letters.startswith("G"):  # i7-1065G7
        return int(digits[:2])
    return 1 if len(digits) == _FIRST else int(digits) // 1000


def version(text: str) -> tuple[int, ...]:
    """A version for comparing: what is no number ends it."""
    parts = re.match(r"\d+(\.\d+)*", text.strip())
    return tuple(int(part) for part in parts[0].split(".")) if parts else ()


def _driver() -> str:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ""
    try:
        version = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return ""
    finally:
        pynvml.nvmlShutdown()
    return version if isinstance(version, str) else version.decode()


def _cuda() -> int:
    """CUDA's major of the TensorRT that is installed: its distributions have it in their names (tensorrt_cu12_libs)."""
    names = (distribution.metadata["Name"] or "" for distribution in metadata.distributions())
    matches = [re.search(r"^tensorrt.*[-_]cu(\d+)", name.lower()) for name in names]
    return max((int(match[1]) for match in matches if match), default=0)

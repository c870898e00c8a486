"""What each Triton release is made of and takes: its runtimes and what they load, its flags and ModelConfig's fields.

The facts are in releases.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tritonpm.core.errors import UsageError

EMBEDDED = "embedded"  # the server that tritonpm brings, with the runtimes of this environment
CARRIED = "24.10"  # the release that the embedded server is of
_FACTS = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Release:
    """One release of Triton; `ir`, `opset` and `ml` (of ai.onnx.ml) are the newest that its ONNX Runtime loads."""

    name: str  # as NVIDIA's containers are called, "24.10", or "embedded"
    triton: str  # the server's version, "2.51.0"
    onnxruntime: str
    ir: int
    opset: int
    ml: int
    openvino: str
    openvino_opset: int
    fields: tuple[str, ...] = ()  # of ModelConfig, that came with it: "ModelEnsembling.max_inflight_requests"
    flags: tuple[str, ...] = ()  # of tritonserver, that came with it

    @property
    def of(self) -> str:
        """The release whose server it is."""
        return CARRIED if self.name == EMBEDDED else self.name

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return f"the embedded Triton {self.triton}" if self.name == EMBEDDED else f"Triton {self.name}"

    def has_field(self, field: str) -> bool:
        """Whether its ModelConfig has a field or an enum's value, such as "DataType.TYPE_BF16"."""
        return _came(_fields(), field) <= self.of

    def has_flag(self, flag: str) -> bool:
        """Whether its tritonserver takes --FLAG."""
        return _came(_flags(), flag) <= self.of

    def takes(self, argument: str) -> bool:
        """Whether its tritonserver takes an argument such as --http-port=8000."""
        return self.has_flag(argument.removeprefix("--").partition("=")[0])


@cache
def releases() -> tuple[Release, ...]:
    """Every release that is known, the oldest first."""
    return tuple(_release(name, row) for name, row in _facts()["releases"].items())


@cache
def embedded() -> Release:
    """The embedded server: its backends run whatever runtimes this environment has."""
    carried = release(CARRIED)
    onnxruntime, openvino = _installed("onnxruntime"), _installed("openvino")
    taken, opset = limits(onnxruntime or carried.onnxruntime), _openvino_opset(openvino or carried.openvino)
    return replace(
        carried, name=EMBEDDED, fields=(), flags=(),
        onnxruntime=onnxruntime, openvino=openvino, ir=taken["ir"], opset=taken["opset"], ml=taken["ml"],
        openvino_opset=opset,
    )  # fmt: skip


def release(name: str) -> Release:
    """The release of that name; what is newer than all that is known counts as the newest. Raises UsageError."""
    if name == EMBEDDED:
        return embedded()
    known = {row.name: row for row in releases()}
    newest = releases()[-1]
    if name in known:
        return known[name]
    if _is_release(name) and name > newest.name:
        return replace(newest, name=name, fields=(), flags=())
    listed = f"{releases()[0].name} to {newest.name}"
    raise UsageError(
        f"{name!r} is not a Triton release",
        where="--target",
        do=f"name one of {listed}, or {EMBEDDED}",
    )


def span(text: str) -> tuple[Release, ...]:
    """The releases that "24.10", "24.10..26.08" or "24.10,25.10" name, the oldest first. Raises UsageError."""
    if ".." not in text:
        return tuple(release(name.strip()) for name in text.split(","))
    first, _, last = text.partition("..")
    oldest, newest = release(first or releases()[0].name), release(last or releases()[-1].name)
    chosen = tuple(row for row in releases() if oldest.of <= row.name <= newest.of)
    if not chosen:
        raise UsageError(f"{text!r} names no release", where="--target", do="name the older one first: 24.10..26.08")
    return chosen


def of_image(image: str) -> str:
    """The release that a container's image names in its tag, "" where it names none."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    return tag[:5] if _is_release(tag[:5]) and not tag[5:6].isdigit() else ""


def of_server(version: str) -> str:
    """The release whose server says that it is of this version, "" where none is known."""
    return next((row.name for row in releases() if row.triton == version), "")


def first_with_ir(ir: int) -> str:
    """The first release whose ONNX Runtime loads that IR version, "" where none does."""
    return next((row.name for row in releases() if row.ir >= ir), "")


def first_with_opset(opset: int) -> str:
    """The first release whose ONNX Runtime loads that opset of ai.onnx, "" where none does."""
    return next((row.name for row in releases() if row.opset >= opset), "")


def first_with_ml(opset: int) -> str:
    """The first release whose ONNX Runtime loads that opset of ai.onnx.ml, "" where none does."""
    return next((row.name for row in releases() if row.ml >= opset), "")


def first_with_openvino(opset: int) -> str:
    """The first release whose OpenVINO has that opset, "" where none has."""
    return next((row.name for row in releases() if row.openvino_opset >= opset), "")


def first_with_field(field: str) -> str:
    """The release with which a field or an enum's value of ModelConfig came, "" where it is newer than all."""
    came = _came(_fields(), field)
    return "" if came == _LATER else came


_LATER = "99.99"  # after every release that is known


def _came(known: Mapping[str, str], name: str) -> str:
    return known.get(name, _LATER)


@cache
def _fields() -> Mapping[str, str]:
    return _firsts("fields")


@cache
def _flags() -> Mapping[str, str]:
    return _firsts("flags")


def _firsts(kind: str) -> dict[str, str]:
    """Name → the release with which it came."""
    first = dict.fromkeys(_facts()[f"first_{kind}"], releases()[0].name)
    return first | {name: row.name for row in releases() for name in getattr(row, kind)}


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(_FACTS.read_text(encoding="utf-8"))
    return facts


def _release(name: str, row: Mapping[str, Any]) -> Release:
    taken = limits(row["onnxruntime"])
    return Release(
        name, row["triton"], row["onnxruntime"], taken["ir"], taken["opset"], taken["ml"], row["openvino"],
        _openvino_opset(row["openvino"]), tuple(row.get("fields", ())), tuple(row.get("flags", ())),
    )  # fmt: skip


def limits(onnxruntime: str) -> Mapping[str, int]:
    """The newest IR and opsets that a version loads, or the newest one before it that was measured."""
    newest: Mapping[str, int] = _before(_facts()["onnxruntime"], onnxruntime)
    return newest


def _openvino_opset(version: str) -> int:
    return int(_before(_facts()["openvino"], version))


def _before(table: Mapping[str, Any], version: str) -> Any:
    numbers = {_numbers(key): value for key, value in table.items()}
    return numbers[max((key for key in numbers if key <= _numbers(version)), default=min(numbers))]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _is_release(text: str) -> bool:
    return re.fullmatch(r"[0-9]{2}\.[0-9]{2}", text) is not None

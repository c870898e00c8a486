"""One request in the words of a language: what the templates in templates/client/ are filled with.

Names come from packages, which may be hostile: each enters as a literal of the language, never as it is.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tritonpm.core.errors import RenderError, UsageError
from tritonpm.core.tensors import Array, numpy_dtype
from tritonpm.core.types import Signature
from tritonpm.meaning.served import IMAGE
from tritonpm.operations.code_languages import LANGUAGES

PICTURE, PIXELS = "picture", "pixels"  # the input is a file of the user's, as it is or decoded
MOST_SHOWN = 64  # values of a tensor that are written out; more are zeros, or empty texts
_JSON = ("curl", "java", "js")
_HALF = {"FP16", "BF16"}  # which KServe's JSON does not have
_CPP = {
    "BOOL": "uint8_t", "UINT8": "uint8_t", "UINT16": "uint16_t", "UINT32": "uint32_t", "UINT64": "uint64_t",
    "INT8": "int8_t", "INT16": "int16_t", "INT32": "int32_t", "INT64": "int64_t",
    "FP16": "uint16_t", "BF16": "uint16_t", "FP32": "float", "FP64": "double",
}  # fmt: skip


@dataclass(frozen=True)
class CodeInput:
    """An input as templates write it down: `filled` with zeros (or empty texts) where it is too large to be shown."""

    name: str
    datatype: str
    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is sent, batch axis included."""
        return self.array.shape

    @property
    def size(self) -> int:
        """How many values it has."""
        return prod(self.shape)

    @property
    def filled(self) -> bool:
        """Whether its values are not shown."""
        return self.size > MOST_SHOWN

    @property
    def filling(self) -> bool | int | str:
        """What it is filled with."""
        return "" if self.datatype == "BYTES" else False if self.datatype == "BOOL" else 0

    @property
    def width(self) -> int:
        """Bytes of a value in Triton's binary form; an empty text is the four of its length."""
        return 4 if self.datatype == "BYTES" else self.array.itemsize

    @cached_property
    def values(self) -> list[Any]:
        """Its values one after another, as JSON has them."""
        return [_plain(value) for value in self.array.ravel()]

    @property
    def texts(self) -> list[str]:
        """The same as texts."""
        return [str(value) for value in self.values]

    @property
    def bits(self) -> list[Any]:
        """The same as C++ has them: a half as its bits, yes and no as numbers."""
        if self.datatype in _HALF:
            return [int(value) for value in self.array.ravel().view(np.uint16)]
        return [int(value) for value in self.values] if self.datatype == "BOOL" else self.values

    @property
    def cpp(self) -> str:
        """C++'s type of a value."""
        return _CPP.get(self.datatype, "")

    @property
    def nested(self) -> Any:
        """Its values in lists of lists, as it is shaped; texts as bytes."""
        flat = [value.encode() if isinstance(value, str) else value for value in self.values]
        whole = np.empty(len(flat), np.object_)
        whole[:] = flat
        return whole.reshape(self.shape).tolist()

    @property
    def numpy(self) -> str:
        """numpy's type of it."""
        names = {"BF16": "ml_dtypes.bfloat16", "BYTES": "np.object_", "BOOL": "np.bool_"}
        return names.get(self.datatype) or f"np.{numpy_dtype(self.datatype).name}"

    @property
    def head(self) -> str:
        """Its JSON up to the values."""
        return json.dumps({"name": self.name, "shape": self.shape, "datatype": self.datatype, "data": []})[:-2]


@dataclass(frozen=True)
class CodeModel:
    """A served model as templates see it. `picture` is the base64 of one, where what it takes is a file.

    `pixels`: it takes pictures decoded. `sequence` is the id of a sequence of this one request: a number, or a text
    where the model knows texts only. `grpc_only`: of its server only the gRPC address is known, `http` is Triton's own.
    """

    name: str
    http: str
    grpc: str
    secure: bool
    inputs: tuple[CodeInput, ...]
    outputs: tuple[str, ...]
    datatypes: frozenset[str]
    decoupled: bool = False
    sequence: int | str = 0
    picture: str = ""
    pixels: bool = False
    grpc_only: bool = False

    @property
    def over_grpc(self) -> bool:
        """Whether a client that speaks both is to speak gRPC."""
        return self.decoupled or self.grpc_only

    @property
    def fills_in(self) -> str:
        """What is not written down but read from a file of the user's."""
        return PICTURE if self.picture else PIXELS if self.pixels else ""

    @property
    def zeros(self) -> int:
        """Bytes of the inputs that are too large to be shown."""
        return sum(one.size * one.width for one in self.inputs if one.filled)

    @property
    def wide(self) -> bool:
        """Whether it has integers of 64 bits."""
        return bool(self.datatypes & {"INT64", "UINT64"})


def code_model(signature: Signature, example: Mapping[str, Array], **facts: Any) -> CodeModel:
    """What the templates get: the tensors of `signature`, with the values of `example`."""
    inputs = tuple(CodeInput(t.name, t.dtype, example[t.name]) for t in signature.inputs if t.name in example)
    both = (*signature.inputs, *signature.outputs)
    outputs = tuple(tensor.name for tensor in signature.outputs)
    return CodeModel(inputs=inputs, outputs=outputs, datatypes=frozenset(t.dtype for t in both), **facts)


def shown(array: Array) -> Array:
    """What code says of an array: itself where it is small, else zeros of its shape."""
    if array.size <= MOST_SHOWN:
        return array
    return np.full(array.shape, b"", np.object_) if array.dtype == np.object_ else np.zeros(array.shape, array.dtype)


def rendered(language: str, model: CodeModel, own: Path | None = None) -> str:
    """The code; a workspace's own templates go over ours. Raises UsageError where the language cannot say it."""
    from jinja2 import TemplateError

    _require_sayable(language, model)
    template, _, needs = LANGUAGES[language]
    scheme = "https" if model.secure else "http"
    url = f"{scheme}://{model.http}/v2/models/{quote(model.name, safe='')}/infer"
    try:
        values = {"model": model, "url": url, "request": _request(model), "sequence": _sequence(model)}
        values |= {"picture_head": _picture_head(), "needs": needs}
        return str(_environment(own).get_template(template).render(values)).rstrip() + "\n"
    except TemplateError as error:
        raise RenderError(f"cannot be rendered ({error})", where=template, do="correct the template") from None


def _require_sayable(language: str, model: CodeModel) -> None:
    if model.decoupled and language != "python":
        what = "it is decoupled: its responses come as a stream, which Triton sends over gRPC only"
        raise UsageError(what, where=model.name, do="choose --language python")
    if language in _JSON and (halves := model.datatypes & _HALF):
        what = f"it has {min(halves)} tensors, and KServe's JSON has none"
        raise UsageError(what, where=model.name, do="choose --language python or cpp")


def _request(model: CodeModel) -> dict[str, Any]:
    """KServe v2's JSON, with what is too large to be shown behind it, in Triton's binary form."""
    inputs = []
    for one in model.inputs:
        about: dict[str, Any] = {"name": one.name, "shape": one.shape, "datatype": one.datatype}
        behind = {"parameters": {"binary_data_size": one.size * one.width}}
        inputs.append(about | (behind if one.filled else {"data": one.values}))
    sequence = {"sequence_id": model.sequence, "sequence_start": True, "sequence_end": True}
    return {"inputs": inputs, "parameters": sequence} if model.sequence else {"inputs": inputs}


def _picture_head() -> str:
    """The JSON in front of a file, up to its size: what follows is that, and `}}]}`."""
    about = {"name": IMAGE, "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 0}}
    return json.dumps({"inputs": [about]})[: -len("0}}]}")]


def _sequence(model: CodeModel) -> str:
    """Python's arguments that make the request a sequence of its own."""
    return f", sequence_id={model.sequence!r}, sequence_start=True, sequence_end=True" if model.sequence else ""


def _plain(value: Any) -> Any:
    """A value as JSON has it; text that is none, and numbers that are not finite, are what tensors are filled with."""
    if isinstance(value, bytes | str):
        try:
            return value if isinstance(value, str) else value.decode()
        except UnicodeDecodeError:
            return ""
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    number = float(str(np.float32(value) if value.dtype.itemsize < 8 else value))  # the shortest that is this one
    return number if np.isfinite(number) else 0.0


def _python(value: Any) -> str:
    """A literal of Python, a plain text in double quotes; whatever is in lists, too."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_python, value))}]"
    plain = isinstance(value, str) and value.isprintable() and not {*value} & {'"', "\\"}
    return f'"{value}"' if plain else repr(value)


def _cpp(text: str) -> str:
    """A literal of C++: what is not plain ASCII as octal bytes of UTF-8."""
    kept = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}
    inner = "".join(kept.get(b, chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode("utf-8", "replace"))
    return f'"{inner}"'


def _environment(own: Path | None) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from tritonpm.repository.templates import packaged

    folders = [str(folder / "client") for folder in (own, packaged()) if folder]
    environment = Environment(  # noqa: S701  # no HTML: each value enters as a literal of the language
        loader=FileSystemLoader(folders), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "json": json.dumps, "java": json.dumps, "python": _python, "tuple": lambda value: repr(tuple(value)),
        "shell": shlex.quote, "cpp": _cpp,
    }  # fmt: skip
    return environment

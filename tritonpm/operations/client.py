"""`tritonpm client`: code that asks a package, for who writes an application."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpm.core.errors import InferenceError, NotFoundError, PackageError, ServerError
from tritonpm.core.tensors import Array, guesses, numpy_dtype
from tritonpm.core.types import Signature
from tritonpm.meaning.pictures import encoded, made_up
from tritonpm.meaning.served import takes_encoded, takes_pictures
from tritonpm.operations.code_languages import LANGUAGES
from tritonpm.operations.in_place import is_in_place, require_ready
from tritonpm.operations.render import wanted_revision
from tritonpm.operations.request_code import CodeModel, code_model, rendered, shown
from tritonpm.operations.sample_inputs import sample_request, samples_of
from tritonpm.operations.server import connect, has_server, own_server
from tritonpm.triton.connection import Connection, address
from tritonpm.triton.inference import Asking

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Revision
    from tritonpm.operations.context import Context
    from tritonpm.triton.client import Client

_HTTP, _GRPC = "127.0.0.1:8000", "127.0.0.1:8001"  # Triton's own ports
_PICTURE = (1, 48, 64, 3)  # of the pictures in the code: batch, height, width, colours
_SEQUENCE, _SEQUENCE_TEXT = 1, "sequence-1"


@dataclass(frozen=True)
class ClientCode:
    """Code that asks a package. `file` is what to call it, `needs` what must be there; `url` is whom it asks."""

    name: str
    language: str
    code: str
    file: str
    needs: str
    url: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedPackage:
    """How a package is asked: the tensors as clients see them, and everything that code about it says."""

    signature: Signature
    model: CodeModel
    loaded: bool


def client_code(context: Context, name: str, language: str = "python") -> ClientCode:
    """Code in one of `LANGUAGES` that asks a package, and works as it is where that is loaded.

    Raises NotFoundError, and UsageError where the language has no way to say it.
    """
    return code_of(context, served(context, name), language)


def code_of(context: Context, known: ServedPackage, language: str) -> ClientCode:
    """As `client_code`, of a package that was looked at. Raises UsageError."""
    model, own = known.model, context.workspace.templates
    _, file, needs = LANGUAGES[language]
    code = rendered(language, model, own if own.is_dir() else None)
    name = model.name
    notes = [] if known.loaded else [f"{name} is not loaded: `tritonpm load {name}`; the code assumes {model.http}"]
    connection = Connection.to(context.server)
    if connection and connection.headers:  # which may be a secret
        notes.append(f"the server wants {', '.join(sorted(connection.headers))}, which the code does not send")
    if model.grpc_only and language != "python":
        notes.append(f"the code asks {model.http} over HTTP, since only a gRPC address was named")
    grpc = model.over_grpc and language == "python"
    url = (
        f"grpc{'s' if model.secure else ''}://{model.grpc}"
        if grpc
        else f"{'https' if model.secure else 'http'}://{model.http}"
    )
    return ClientCode(name, language, code, file, needs, url, tuple(notes))


def served(context: Context, name: str) -> ServedPackage:
    """A package as the server has it; as it would be served where it is not loaded. Raises NotFoundError.

    So is a model of the server that was named, as long as that has it loaded. Raises ServerError, NotFoundError.
    """
    if is_in_place(context, name):
        with connect(context) as client:
            require_ready(client, name)
            return _loaded(context, name, None, client)
    record = context.catalogue.get(name)
    if has_server(context):
        with suppress(ServerError), connect(context) as client:
            if client.ready(name):
                return _loaded(context, name, record, client)
    signature, asking, batched = _to_be(record, _revision(context, name))
    return _served(context, name, record, signature, asking, batched=batched)


def _loaded(context: Context, name: str, record: Record | None, client: Client) -> ServedPackage:
    signature, asking = client.metadata(name), client.asking(name)
    batched = bool(client.config(name).get("max_batch_size"))
    return _served(context, name, record, signature, asking, batched=batched, client=client)


def _served(
    context: Context, name: str, record: Record | None, signature: Signature, asking: Asking, *,
    batched: bool, client: Client | None = None,
) -> ServedPackage:  # fmt: skip
    picture = _encoded() if takes_encoded(signature) else b""
    example = _example(context, name, record, signature, batched=batched, client=client)
    http, grpc, secure = _addresses(context)
    connection = Connection.to(context.server)
    sequence = (_SEQUENCE_TEXT if asking.sequences == {"TYPE_STRING"} else _SEQUENCE) if asking.sequences else 0
    model = code_model(
        signature, example, name=name, http=http, grpc=grpc, secure=secure,
        decoupled=asking.decoupled, sequence=sequence, picture=base64.b64encode(picture).decode(),
        pixels=takes_pictures(signature), grpc_only=connection is not None and address(connection.url)[0] == "grpc",
    )  # fmt: skip
    return ServedPackage(signature, model, client is not None)


def _example(
    context: Context, name: str, record: Record | None, signature: Signature, *, batched: bool, client: Client | None
) -> Mapping[str, Array]:
    """What the code sends: of what is known, the first that the server takes as it is shown."""
    tried: list[dict[str, Array]] = []
    for arrays in _candidates(context, record, signature, batched=batched):
        tried.append({tensor: shown(array) for tensor, array in arrays.items()})
        if client is None:
            break
        with suppress(InferenceError):
            client.infer(name, tried[-1])
            return tried[-1]
    return tried[0]


def _candidates(
    context: Context, record: Record | None, signature: Signature, *, batched: bool
) -> Iterator[dict[str, Array]]:
    """The first row of the package's sample, else made-up inputs, ever larger."""
    if takes_encoded(signature):
        yield {signature.inputs[0].name: np.array([[_encoded()]], np.object_)}
        return
    if takes_pictures(signature):
        yield {signature.inputs[0].name: np.zeros(_PICTURE, np.uint8)}
        return
    dtypes = {tensor.name: numpy_dtype(tensor.dtype) for tensor in signature.inputs}
    if record and samples_of(record):
        with suppress(NotFoundError, PackageError):
            arrays = sample_request(context, record, signature)
            cast = {name: array.astype(dtypes[name], copy=False) for name, array in arrays.items() if name in dtypes}
            yield {name: array[:1] for name, array in cast.items()} if _rows(signature, batched=batched) else cast
    for guess in guesses(signature.inputs, batch=1 if batched else None, said=record.package.values if record else {}):
        yield {name: np.round(array, 3) if array.dtype.kind == "f" else array for name, array in guess.items()}


def _rows(signature: Signature, *, batched: bool) -> bool:
    """Whether the first dimension of all inputs is the batch."""
    return batched or all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in signature.inputs)


def _encoded() -> bytes:
    """A small picture as PNG."""
    return encoded(made_up(16, 16) // 128 * 255, "PNG").data


def _addresses(context: Context) -> tuple[str, str, bool]:
    """HTTP, gRPC, and whether they are encrypted: of the server that was named, or runs here, else Triton's own."""
    connection = Connection.to(context.server)
    if connection is None:
        server = own_server(context)
        return (_here(server.http), _here(server.grpc), False) if server else (_HTTP, _GRPC, False)
    protocol, place, secure = address(connection.url)
    host = place.rpartition(":")[0] or place
    if protocol == "grpc":
        return f"{host}:8000", place, secure
    return place, connection.grpc or f"{host}:8001", secure


def _here(address: str) -> str:
    """An address that every host binds to is asked on this one."""
    return address.replace("0.0.0.0:", "127.0.0.1:")


def _revision(context: Context, name: str) -> Revision:
    proved = context.catalogue.proved(name)
    return proved.revision if proved else wanted_revision(context, name)


def _to_be(record: Record, revision: Revision) -> tuple[Signature, Asking, bool]:
    """Tensors, how it is asked, and whether Triton batches, by the configs that are rendered."""
    from google.protobuf.json_format import MessageToDict

    from tritonpm.package.config import FILE, parsed, signature

    configs: dict[str, Any] = {
        model.name: parsed(file.text or "", model.name)
        for model in revision.models for file in model.files if file.path == FILE
    }  # fmt: skip
    plain = {name: MessageToDict(config, preserving_proto_field_name=True) for name, config in configs.items()}
    last, stage = revision.models[-1].name, record.package.stages[-1]
    own = None if record.package.cascade else stage.signature
    asking = Asking.of(plain[last], lambda name: plain.get(name, {}))
    return signature(configs[last], own, record.package.name), asking, configs[last].max_batch_size > 0

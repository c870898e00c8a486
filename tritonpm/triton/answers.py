"""What a server may tell of itself: Triton's own messages are the declaration, over HTTP (their JSON) and gRPC alike.

At an address that somebody names anything may answer. What is shaped otherwise is found here, once, so that nobody who
reads an answer need ask of each value what it is. Source: Triton's grpc_service.proto and model_config.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# The calls of tritonclient, the message that each is answered by, and what of its parts may not be left out.
_MESSAGES = {
    "get_server_metadata": ("ServerMetadataResponse", ()),
    "get_model_repository_index": ("RepositoryIndexResponse", ("models.name",)),
    "get_model_metadata": (
        "ModelMetadataResponse", ("inputs.name", "inputs.datatype", "outputs.name", "outputs.datatype"),
    ),
    "get_inference_statistics": ("ModelStatisticsResponse", ("model_stats.name",)),
}  # fmt: skip


def sound(method: str, answer: object) -> dict[str, Any]:
    """The answer to a call of tritonclient's, with the index, a list over HTTP, as gRPC has it.

    Fields that a newer server adds are kept. Raises ValueError where it is not what a Triton says.
    """
    if isinstance(answer, list):
        answer = {"models": answer}
    if not isinstance(answer, dict) or _has_null(answer):
        raise ValueError("it is not a message of Triton's")
    if method == "get_model_config":
        _read(answer.get("config", answer), None, ("ensemble_scheduling.step.model_name",))
    elif method in _MESSAGES:
        _read(answer, *_MESSAGES[method])
    elif not isinstance(answer.get("settings", answer), dict):  # flat over HTTP
        raise ValueError("its settings are not an object")
    return answer


def steps(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that an ensemble is made of, in series, one that does two steps twice; none of any other model.

    `config` is a ModelConfig as a server tells it.
    """
    return tuple(str(step["model_name"]) for step in config.get("ensemble_scheduling", {}).get("step", ()))


def _read(told: object, message: str | None, needed: Iterable[str]) -> None:
    from google.protobuf.json_format import ParseDict, ParseError
    from tritonclient.grpc import model_config_pb2, service_pb2

    if not isinstance(told, dict):
        raise ValueError("it is no object")
    empty = getattr(service_pb2, message)() if message else model_config_pb2.ModelConfig()
    try:
        read = ParseDict(told, empty, ignore_unknown_fields=True)
    except (ParseError, TypeError, AttributeError) as error:  # the last two of values that are of no JSON of a message
        raise ValueError(str(error)) from None
    if _hollow(told, empty.DESCRIPTOR):
        raise ValueError("it has a text or a list where an object belongs")
    for path in needed:
        if not all(_at(read, path.split("."))):
            raise ValueError(f"it lacks {path}")


def _hollow(told: Any, message: Any) -> bool:
    """Whether an empty text or list stands for an object in what was read, which protobuf takes for an empty one."""
    for field in message.fields:
        if field.message_type is None:
            continue
        for value in (told[name] for name in {field.name, field.json_name} if name in told):
            inner, objects = field.message_type, [value]
            if inner.GetOptions().map_entry:
                inner, objects = inner.fields_by_name["value"].message_type, list(value.values())
            elif not field.has_presence:  # it is repeated
                objects = value
            if inner and any(not isinstance(one, dict) or _hollow(one, inner) for one in objects):
                return True
    return False


def _at(message: Any, path: Sequence[str]) -> Iterator[Any]:
    """The values at a path of field names, through lists."""
    for value in message if isinstance(message, Sequence) and not isinstance(message, str) else (message,):
        if path:
            yield from _at(getattr(value, path[0]), path[1:])
        else:
            yield value


def _has_null(value: object) -> bool:
    """Whether there is a null in it, which the JSON of a message may have anywhere, and a Triton never sends."""
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None

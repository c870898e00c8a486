"""One request, sent as its model wants to be asked: alone, as a whole sequence, or over a stream of responses.

Triton refuses a request to a sequence-batching model that is of no sequence, and one to a decoupled model that does not
come over a gRPC stream. A cascade is asked as its members want it. Source: Triton's architecture guide (stateful
models), its decoupled models' document, and its sequence extension.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import Array
from tritonpm.triton.answers import steps

Config = Mapping[str, Any]  # a ModelConfig as JSON
_ID_BITS = {"TYPE_INT32": 31, "TYPE_UINT32": 32}  # of what a model takes as an id; else 63, as gRPC sends an int64
_TEXT = "TYPE_STRING"


@dataclass(frozen=True)
class Asking:
    """How a model wants to be asked. `sequences` are the types of sequence ids; none where it knows no sequences."""

    sequences: frozenset[str] = frozenset()
    decoupled: bool = False

    @classmethod
    def of(cls, config: Config, member: Callable[[str], Config]) -> Asking:
        """What the configuration says; `member` has the configuration of a model that a cascade is made of."""
        members = [cls.of(member(name), member) for name in sorted(set(steps(config)))]
        sequences = _id_types(config).union(*(one.sequences for one in members))
        decoupled = bool((config.get("model_transaction_policy") or {}).get("decoupled"))
        return cls(sequences, decoupled or any(one.decoupled for one in members))

    def options(self) -> dict[str, Any]:
        """What makes a request a sequence of its own, with an id that no other sequence has."""
        if not self.sequences:
            return {}
        bits = min(_ID_BITS.get(kind, 63) for kind in self.sequences)
        number = 1 + secrets.randbelow((1 << bits) - 1)  # 0 is no sequence
        identity = str(number) if self.sequences == {_TEXT} else number
        return {"sequence_id": identity, "sequence_start": True, "sequence_end": True}


@dataclass(frozen=True)
class InferenceRequest:
    """What is asked: tritonclient's inputs and outputs, and what Triton must be told of the sequence."""

    model: str
    version: str
    sent: Sequence[Any]
    wanted: Sequence[Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, result: Any) -> dict[str, Array]:
        """The outputs of tritonclient's result."""
        return {output.name(): self._tensor(result, output.name()) for output in self.wanted}

    def _tensor(self, result: Any, name: str) -> Array:
        """Raises InferenceError where it has other data than its shape says."""
        try:
            tensor: Array = result.as_numpy(name)
        except ValueError as error:
            do = "see the log of the server; a Python model with NumPy 2 does that on Triton 24.10"
            raise InferenceError(f"its answer's {name!r} is broken ({error})", where=self.model, do=do) from None
        return tensor


def streamed(raw: Any, request: InferenceRequest, headers: Mapping[str, str], timeout: float) -> list[dict[str, Array]]:
    """Every response that a decoupled model sends, none included; `raw` is tritonclient's gRPC client.

    Raises TimeoutError where the last one has not come after `timeout` seconds, and what tritonclient raises.
    """
    events: queue.Queue[tuple[Any, Any]] = queue.Queue()
    deadline = time.monotonic() + timeout
    answers: list[dict[str, Array]] = []
    raw.start_stream(lambda result, error: events.put((result, error)), stream_timeout=timeout, headers=dict(headers))
    try:
        raw.async_stream_infer(
            request.model,
            list(request.sent),
            request.version,
            list(request.wanted),
            enable_empty_final_response=True,
            **request.options,
        )
        while True:
            try:
                result, error = events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no final response within {timeout:g} s") from None
            if error is not None:
                raise error
            response = result.get_response()
            if response.outputs:  # the last one may be no more than a flag
                answers.append(request.answer(result))
            if response.parameters["triton_final_response"].bool_param:
                return answers
    finally:
        raw.stop_stream(cancel_requests=True)


def first(model: str, answers: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """The first response. Raises InferenceError where the model sent none."""
    if not answers:
        raise InferenceError("the model sent no response", where=model, do="try another input")
    return answers[0]


def _id_types(config: Config) -> frozenset[str]:
    batching = config.get("sequence_batching")
    if batching is None:
        return frozenset()
    controls = [control for given in batching.get("control_input", ()) for control in given.get("control", ())]
    kinds = {str(control.get("data_type")) for control in controls if control.get("kind") == "CONTROL_SEQUENCE_CORRID"}
    return frozenset(kinds or {"TYPE_UINT64"})

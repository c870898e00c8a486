"""More rows than a model takes at once: as many requests as they need, and one answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tritonpm.core.errors import InferenceError
from tritonpm.core.tensors import Array

if TYPE_CHECKING:
    from tritonpm.triton.client import Client


def responses(client: Client, name: str, arrays: Mapping[str, Array], version: str = "") -> list[dict[str, Array]]:
    """`Client.responses`, whatever the number of rows. Raises InferenceError."""
    parts = list(in_parts(arrays, _most(client, name, version)))
    answered = [client.responses(name, part, version=version) for part in parts]
    return answered[0] if len(parts) == 1 else [_joined(name, [first for first, *_ in answered])]


def in_parts(arrays: Mapping[str, Array], most: int) -> Iterator[dict[str, Array]]:
    """As many requests of at most `most` rows as they ask for; one where 0 says that there is no limit."""
    rows = {len(array) for array in arrays.values() if array.ndim}
    if not most or len(rows) != 1 or (count := rows.pop()) <= most:
        yield dict(arrays)
        return
    for start in range(0, count, most):
        yield {name: array[start : start + most] for name, array in arrays.items()}


def _most(client: Client, name: str, version: str) -> int:
    """The rows of one request; 0 where Triton has no limit, or its rows belong together."""
    asking = client.asking(name, version)
    together = bool(asking.sequences) or asking.decoupled
    return 0 if together else int(client.config(name, version).get("max_batch_size") or 0)


def _joined(name: str, answers: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The rows of several answers as one."""
    try:
        return {output: np.concatenate([answer[output] for answer in answers]) for output in answers[0]}
    except ValueError:
        what = f"its answers to {len(answers)} requests have different shapes and cannot be joined into one"
        raise InferenceError(what, where=name, do="raise --max-batch-size, or provide fewer rows") from None

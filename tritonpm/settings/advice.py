"""Advice on the batch size, from the batches that Triton really ran. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tritonpm.settings.rule import MOST_BATCH

ENOUGH = 100  # executions, before anything is said
_FAR = 4  # times what clients send: a batch size that costs memory and brings nothing
_ALIKE = 0.25  # by how much the counts of a full pass and its remainder may differ


def batch_advice(max_batch_size: int, executions: Mapping[int, int], *, unjoined: str = "") -> str:
    """What to change, "" where nothing is to be said; `executions` are how often each batch size ran.

    Where Triton does not batch (`max_batch_size` 0) it counts requests, and what can be said is why: `unjoined`.

    Images that are a few more than the batch size run as a full and a nearly empty pass: 26 at batch 20 are 20 and 6.
    """
    if sum(executions.values()) < ENOUGH:
        return ""
    if max_batch_size < 2:
        return "" if max_batch_size else unjoined
    largest = max(size for size, count in executions.items() if count)
    if largest * _FAR <= max_batch_size:
        return (
            f"the batch size is {max_batch_size}, and no more than {largest} ran at once: lower it, and memory is freed"
        )
    full = executions.get(max_batch_size, 0)
    rest = max((size for size in executions if size < max_batch_size), key=lambda size: executions[size], default=0)
    paired = full and rest and abs(executions[rest] - full) <= _ALIKE * full
    if paired and rest <= max_batch_size / 2:
        whole = max_batch_size + rest
        better = f"{whole} takes them in one pass, " if whole <= MOST_BATCH else ""
        return (
            f"batches of {whole} run as a full pass of {max_batch_size} and a nearly empty one of {rest}: "
            f"{better}{-(-whole // 2)} in two even ones"
        )
    return ""

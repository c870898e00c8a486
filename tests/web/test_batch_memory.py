"""What a batch takes: of tensors whose sizes are known, and of what runs in processes of its own."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from tritonpm.core.types import Format, Package, Signature, Stage, Task, Tensor
from tritonpm.hardware.nvml import Gpus
from tritonpm.operations.monitor.snapshot import MachineLoad, PackageLoad, ServerLoad, Snapshot, Usage
from tritonpm.triton.rates import Rates
from tritonpm.web.batch_memory import batch_memory, taken


def package(*tensors: Tensor) -> Package:
    stage = Stage("s", Task.OTHER, Format.ONNX, "m.onnx", (), Signature(tensors[:1], tensors[1:]))
    return Package("p", "1", "", "", (stage,), (), "sha256:0")


@pytest.mark.parametrize(("tensors", "row"), [
    ((Tensor("x", "FP32", ("batch", 4)), Tensor("y", "UINT8", ("batch", 2, 3))), 22),
    ((Tensor("x", "FP32", ("batch", 4)), Tensor("y", "FP32", ("batch", "objects"))), None),
    ((Tensor("x", "BYTES", ("batch", 1)), Tensor("y", "FP32", ("batch", 1))), None),
    ((Tensor("x", "FP32", ("batch", 4)), Tensor("y", "FP32", None)), None),
])  # fmt: skip
def test_the_tensors_of_a_row_are_counted_where_their_sizes_are_known(
    tensors: tuple[Tensor, ...], row: int | None
) -> None:
    assert batch_memory(package(*tensors), []).row == row


def test_what_has_no_process_of_its_own_is_not_told() -> None:
    loads = (PackageLoad("p", Rates(), Usage(1, None, 9, 5, 7)), PackageLoad("q", Rates(), None))
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    snapshot = Snapshot(1, now, 2.0, MachineLoad(2, 1.0, 3, 4), Gpus(()), ServerLoad("live"), loads)
    assert taken([snapshot]) == {"p": 12}
    assert taken([]) == {}

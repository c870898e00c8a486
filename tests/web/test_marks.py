"""Marks: what happened between two looks, told by what each shows."""

from __future__ import annotations

from datetime import datetime, timezone

from tritonpm.hardware.nvml import Gpus
from tritonpm.operations.monitor.snapshot import MachineLoad, ServerLoad, Snapshot
from tritonpm.web.marks import Marks


def seen(marks: Marks, number: int, pid: int | None, loaded: dict[str, int | None], *, stopped: bool = False) -> None:
    server = ServerLoad("live", pid=pid) if pid else ServerLoad("stopped")
    moment = datetime.fromtimestamp(1000.0 + number, timezone.utc)
    marks.see(Snapshot(number, moment, 2.0, MachineLoad(2, 1.0, 3, 4), Gpus(()), server, ()), loaded, stopped=stopped)


def test_what_happened_is_told_by_two_looks() -> None:
    marks = Marks()
    seen(marks, 0, 7, {"a": 1, "b": 1})
    assert marks.since(0) == ()  # nobody knows what was before
    seen(marks, 1, 7, {"a": 2, "c": 1})
    assert [(mark.kind, mark.package) for mark in marks.since(0)] == [("switch", "a"), ("unload", "b"), ("load", "c")]
    seen(marks, 2, 7, {"a": 2, "c": 1})
    seen(marks, 3, None, {"a": 2, "c": 1})
    seen(marks, 4, 8, {"a": 2, "c": 1})
    seen(marks, 5, 9, {"a": 2, "c": 1})  # it was killed and is there again
    seen(marks, 6, None, {}, stopped=True)
    later = [(mark.time, mark.kind) for mark in marks.since(1002) if not mark.package]
    assert later == [(1003, "crash"), (1004, "start"), (1005, "crash"), (1005, "start"), (1006, "stop")]

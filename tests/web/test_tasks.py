"""Long work of the page: what is told of it while it runs, and what is left of that."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import until
from tritonpm.operations.context import Progress, Warn
from tritonpm.web.events import Hub
from tritonpm.web.tasks import DONE, LongTasks


def test_what_it_waits_for_is_a_step_and_what_is_warned_of_a_note(tmp_path: Path) -> None:
    tasks = LongTasks(Hub(), tmp_path)
    steps: list[str] = []

    def work(progress: Progress, warn: Warn) -> str:
        warn("Waiting for another tritonpm …")
        [running] = tasks.all()
        steps.append(running.step)
        warn("there is no sample")
        return "Imported bolts."

    begun = tasks.start("import", "bolts", work)
    ended = until(lambda: now if (now := tasks.get(begun.id)) and now.state == DONE else None, begun)
    tasks.close()
    assert steps == ["Waiting for another tritonpm …"]
    assert (ended.result, ended.notes) == ("Imported bolts.", ("there is no sample",))

"""The journal of a roll-out: what earlier versions wrote is read, and one that did not end is in the way."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tritonpm.catalogue import Source
from tritonpm.core.errors import BusyError
from tritonpm.core.types import Package
from tritonpm.fleet import journal
from tritonpm.fleet.journal import MOVING, PROVING, Rollout, RolloutJournal
from tritonpm.settings.settings import Settings

SOURCE = Source(Package("p", "1", "", "", (), (), "a" * 64), Settings())


def test_what_is_noted_is_what_whoever_comes_next_reads(tmp_path: Path) -> None:
    entry = RolloutJournal(tmp_path, Rollout("prod", "p", PROVING, ("a:8000",), (), SOURCE, None))
    journal.require_none(tmp_path)
    entry.note(phase=MOVING, back=True, configs={"p/config.pbtxt": "name: 'p'"})
    assert journal.opened(tmp_path) == entry.rollout
    with pytest.raises(BusyError, match=r"the roll-out of p to prod has not ended.*fleet sync --context prod"):
        journal.require_none(tmp_path)
    entry.close()
    assert journal.opened(tmp_path) is None


def test_a_roll_out_that_an_earlier_version_began_is_read(tmp_path: Path) -> None:
    rollout = Rollout("prod", "p", MOVING, ("a:8000", "b:8000"), ("a:8000",), SOURCE, None, SOURCE)
    written = json.loads(msgspec.json.encode(rollout))
    del written["back"], written["configs"]  # which it did not know
    (tmp_path / "rollout.json").write_text(json.dumps(written))
    assert journal.opened(tmp_path) == rollout

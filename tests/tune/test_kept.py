"""What a search found last, while it is about the content and the settings of now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tritonpm.settings.settings import Settings
from tritonpm.tune.kept import best_of, keep, kept
from tritonpm.tune.pareto import MeasuredSettings, Tuned


def row(words: str, **changes: object) -> MeasuredSettings:
    return MeasuredSettings(words, 100.0, 1.0, 2.0, 4, 1.0, None, 1.0, True, True, 3, changes)


def result(*rows: MeasuredSettings) -> Tuned:
    before = Settings()
    return Tuned("p", "latency", None, "", 1.0, 3, rows, None, before, replace(before, max_batch_size=4), ())


def test_a_result_is_of_a_content_and_of_settings(tmp_path: Path) -> None:
    tuned = result(row("a"))
    keep(tmp_path / "tune", "sha256:1", tuned)
    for settings in (tuned.before, tuned.settings):
        assert kept(tmp_path / "tune", "p", "sha256:1", settings) == tuned
    assert kept(tmp_path / "tune", "p", "sha256:2", tuned.before) is None
    assert kept(tmp_path / "tune", "p", "sha256:1", replace(tuned.before, max_batch_size=2)) is None
    assert kept(tmp_path / "tune", "q", "sha256:1", tuned.before) is None
    (tmp_path / "tune/p.tuned.json").write_text("rotten")
    assert kept(tmp_path / "tune", "p", "sha256:1", tuned.before) is None


def test_the_best_in_a_precision_is_the_first_without_settings_of_stages() -> None:
    tuned = result(row("mixed", precision="INT8", stages={"s": {}}), row("a", precision="INT8"), row("b"))
    assert [best and best.words for best in (best_of(tuned, p) for p in ("FP32", "FP16", "INT8"))] == ["b", None, "a"]

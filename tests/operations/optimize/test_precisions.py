"""What a package is like in each precision, as far as it was measured; measuring changes no setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.models import WIDTH
from tests.support.networks import dense
from tests.support.packages import single
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.optimize.jobs import list_jobs, start_measuring, watch
from tritonpm.operations.optimize.precisions import PrecisionView, precisions
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.tuned import folder
from tritonpm.tune.kept import keep
from tritonpm.tune.pareto import MeasuredSettings, Tuned


def by_name(context: Context) -> dict[str, PrecisionView]:
    return {view.precision: view for view in precisions(context, "p")}


def test_what_tune_found_is_told_while_it_is_about_the_package(context: Context, tmp_path: Path) -> None:
    import_package(
        context, single(tmp_path / "in", dense(tmp_path / "m.onnx", layers=2, width=WIDTH).read_bytes(), "p")
    )
    record = context.catalogue.get("p")

    def row(words: str, **changes: object) -> MeasuredSettings:
        return MeasuredSettings(words, 100.0, 1.0, 2.0, 4, 1.0, None, 1.0, True, True, 3, changes)

    rows = (row("int8", precision="INT8"), row("as it is"), row("int8 again", precision="INT8"))
    settings = replace(record.settings, precision="INT8")
    tuned = Tuned("p", "throughput", None, "", 1.0, 3, rows, None, record.settings, settings, ())
    keep(folder(context), record.package.digest, tuned)
    assert [view.tuned and view.tuned.words for view in precisions(context, "p")] == ["as it is", None, "int8"]
    change(context, "p", {"max_batch_size": 2})
    assert not any(view.tuned for view in precisions(context, "p"))


@pytest.mark.server
def test_each_precision_is_measured_beside_the_first_and_no_setting_changes(context: Context, tmp_path: Path) -> None:
    model = dense(tmp_path / "model.onnx", layers=2, width=WIDTH).read_bytes()
    import_package(context, single(tmp_path / "in", model, "p"))
    before, first = show(context, "p"), by_name(context)
    assert [view.state for view in first.values()] == ["original", "missing", "missing"]
    assert (first["FP32"].agreement, first["FP32"].throughput, first["FP16"].bytes) == (1.0, None, None)
    watch(context, start_measuring(context, "p").id)
    known = by_name(context)
    assert known["FP32"].throughput and known["FP16"].throughput
    assert {(one.a, one.b) for one in known["FP16"].comparisons} == {("FP32", "FP16")}
    assert (known["FP16"].state, known["FP16"].measure) == ("verified", "cosine")
    assert known["FP16"].agreement and known["FP16"].agreement > 0.99
    assert known["FP16"].bytes
    assert (known["INT8"].state, known["INT8"].agreement) == ("unverified", None)  # its sample could not tell
    assert "nothing is proved" in known["INT8"].why
    after = show(context, "p")
    assert (after.settings, after.status) == (before.settings, before.status)
    assert list_jobs(context)[0].measures
    change(context, "p", {"precision": "FP16"})
    assert by_name(context)["FP16"].chosen and by_name(context)["FP16"].throughput
    change(context, "p", {"max_batch_size": 2})
    assert by_name(context)["FP16"].throughput is None  # it was measured with other settings

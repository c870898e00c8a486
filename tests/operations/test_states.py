"""What is wanted, what was proved and what serves: a change that fails is never what a restart brings back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import yaml

from tests.support.load import serving_answer
from tests.support.models import logarithm, scaled
from tests.support.packages import single
from tests.support.workspaces import QUICKLY, opened
from tritonpm.cli.describe import describe_package
from tritonpm.core.errors import BusyError, NotFoundError, OptimisationError, RuleError, ServerError, TritonpmError
from tritonpm.operations import canary
from tritonpm.operations.context import Context
from tritonpm.operations.declaration import export
from tritonpm.operations.history import history
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.list import packages
from tritonpm.operations.load import load, load_proved
from tritonpm.operations.optimize.jobs import list_jobs, start, to_optimise_for, watch
from tritonpm.operations.prune import prune
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.rollback import rollback
from tritonpm.operations.serve import load_all_proved, serve
from tritonpm.operations.server import connect, is_loaded
from tritonpm.operations.set import change
from tritonpm.operations.show import show
from tritonpm.operations.status import status
from tritonpm.operations.stop import stop
from tritonpm.operations.sync import sync
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import exchange, upgrade
from tritonpm.triton import embedded

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    root = tmp_path_factory.mktemp("a workspace")
    init(root)
    context = opened(root)
    started(context)
    yield context
    stop(context, 30)


def started(context: Context) -> None:
    serve(context, None, **QUICKLY)


def restarted(context: Context) -> dict[str, str]:
    """Stop and serve again, as after a reboot: why each package did not come back."""
    stop(context, 30)
    started(context)
    return dict(load_all_proved(context))


def content(folder: Path, model: bytes, name: str) -> Path:
    """A package that is no other one's content, whatever its model is."""
    made = single(folder, model, name=name)
    (made / "notes.txt").write_text(f"{name} in {folder.name}")
    return made


def drift_of(context: Context, name: str) -> str:
    """What list, show and status say of it, which is the same."""
    listed = next(view.drift for view in packages(context.catalogue) if view.name == name)
    view = show(context, name)
    assert view.drift == listed
    with redirect_stdout(StringIO()) as printed:
        describe_package(view)
    assert listed in printed.getvalue()
    assert any(listed in sentence for sentence in status(context).drift) or not listed
    return listed


def test_a_failed_optimisation_changes_nothing(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(2.1), name="proof"))
    load(context, "proof")
    before = context.catalogue.get("proof")
    settings = to_optimise_for(
        context, "proof", {"precision": "FP16", "optimizer": "onnx", "tolerances": {"max_abs": 1e-12}}
    )
    job = start(context, "proof", settings)
    assert job is not None
    with pytest.raises(OptimisationError):
        watch(context, job.id)
    assert context.catalogue.get("proof") == before
    assert list_jobs(context)[0].state == "failed"
    assert drift_of(context, "proof") == ""
    assert restarted(context)["proof"] == ""
    assert serving_answer(context, "proof") == pytest.approx(2.1)


def test_an_optimisation_that_holds_is_what_is_wanted_then(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(2.5), name="kept"))
    settings = to_optimise_for(context, "kept", {"precision": "FP16"})
    assert context.catalogue.get("kept").settings.precision == "FP32"
    job = start(context, "kept", settings)
    assert job is not None
    watch(context, job.id)
    assert context.catalogue.get("kept").settings == settings


def test_what_cannot_be_loaded_is_drift_and_what_was_proved_comes_back(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(3.0), name="broken"))
    load(context, "broken")
    exchange(context, "broken", content(tmp_path / "nan", logarithm(), name="broken"))
    assert "brings the change (content: sha256:" in drift_of(context, "broken")
    with pytest.raises(ServerError, match="NaN"):
        load(context, "broken")
    assert serving_answer(context, "broken") == 3.0
    assert "NaN" in drift_of(context, "broken")
    assert "`tritonpm load broken`" in drift_of(context, "broken")
    assert restarted(context)["broken"] == ""
    assert serving_answer(context, "broken") == 3.0
    assert "NaN" in drift_of(context, "broken")  # a restart hides nothing
    assert [reason for _, name, reason in sync(context) if name == "broken"] == []
    with connect(context) as client:
        client.unload_and_wait("broken")
    assert list(sync(context)) == [("loaded", "broken", "")]
    assert serving_answer(context, "broken") == 3.0


def test_settings_for_hardware_that_is_not_here_are_no_outage(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(5.0), name="elsewhere"))
    load(context, "elsewhere")
    try:
        change(context, "elsewhere", {"device": "gpu"})
    except RuleError:
        pytest.fail("a machine that prepares packages may choose another's device")
    with pytest.raises(TritonpmError):
        load(context, "elsewhere")
    assert "discards the change (device: cpu → gpu)" in drift_of(context, "elsewhere")
    assert restarted(context)["elsewhere"] == ""
    assert serving_answer(context, "elsewhere") == 5.0
    view = next(view for view in packages(context.catalogue) if view.name == "elsewhere")
    assert (view.status, view.proved) == ("loaded", 1)


def test_a_server_that_is_stopped_has_nothing_loaded(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(6.0), name="stopped"))
    load(context, "stopped")
    stop(context, 30)
    assert {view.status for view in packages(context.catalogue)} <= {"ready", "imported", "failed"}
    started(context)
    load_proved(context, "stopped")
    assert is_loaded(context, "stopped")


def test_a_second_server_that_is_refused_changes_nothing_of_what_the_first_has_loaded(
    context: Context, tmp_path: Path
) -> None:
    import_package(context, content(tmp_path / "p", scaled(6.5), name="first"))
    load(context, "first")
    with pytest.raises(BusyError, match="already running"):
        started(context)
    assert context.catalogue.get("first").status == "loaded"


def test_what_comes_back_with_the_next_server_is_declared_as_loaded(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "p", scaled(7.5), name="declared"))
    load(context, "declared")
    stop(context, 30)
    declared = yaml.safe_load(export(context))["packages"]["declared"]
    started(context)
    assert declared["loaded"] is True


def served(context: Context, name: str) -> list[int]:
    """The revisions in the order in which a roll-back goes back."""
    order = sorted((view.served, view.number) for view in history(context, name) if view.served is not None)
    return [number for _, number in order]


def test_a_roll_back_goes_back_along_what_served(context: Context, tmp_path: Path) -> None:
    contents = {n: content(tmp_path / str(n), scaled(float(n)), name="back") for n in (1, 2, 3)}
    import_package(context, contents[1])
    load(context, "back")
    upgrade(context, "back", contents[2])
    rollback(context, "back", 1)
    upgrade(context, "back", contents[3])
    assert serving_answer(context, "back") == 3.0
    assert served(context, "back") == [3, 1, 2]
    loaded = rollback(context, "back")
    assert loaded is not None
    assert (loaded.revision, serving_answer(context, "back")) == (1, 1.0)
    assert served(context, "back") == [1, 2]
    loaded = rollback(context, "back")
    assert loaded is not None
    assert (loaded.revision, serving_answer(context, "back")) == (2, 2.0)


def test_what_is_not_loaded_goes_back_a_step_each_time_too(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(1.25), name="steps"))
    load(context, "steps")
    for number in (2, 3):
        upgrade(context, "steps", content(tmp_path / str(number), scaled(number + 0.25), name="steps"))
    stop(context, 30)
    assert rollback(context, "steps") is None
    assert served(context, "steps") == [2, 1]
    assert rollback(context, "steps") is None
    assert served(context, "steps") == [1]
    with pytest.raises(NotFoundError, match="no earlier revision"):
        rollback(context, "steps")
    assert restarted(context)["steps"] == ""
    assert serving_answer(context, "steps") == 1.25
    assert drift_of(context, "steps") == ""


def test_what_never_served_is_given_up_before_a_roll_back_goes_further(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(1.75), name="never"))
    load(context, "never")
    upgrade(context, "never", content(tmp_path / "2", scaled(2.75), name="never"))
    change(context, "never", {"device": "gpu"})
    with pytest.raises(TritonpmError):
        load(context, "never")
    said: list[str] = []
    loaded = rollback(replace(context, warn=said.append), "never")
    assert loaded is not None
    assert (loaded.revision, serving_answer(context, "never"), drift_of(context, "never")) == (2, 2.75, "")
    assert said == ["What was changed since revision 2, which was proved last, is discarded."]
    stop(context, 30)
    exchange(context, "never", content(tmp_path / "3", scaled(3.75), name="never"))
    assert "content: sha256:" in drift_of(context, "never")
    assert [view.number for view in history(context, "never") if view.next] == [2]
    assert rollback(context, "never") is None
    assert comes_back(context, "never") == {2}
    assert rollback(context, "never") is None
    assert comes_back(context, "never") == {1}
    assert restarted(context)["never"] == ""
    assert serving_answer(context, "never") == 1.75


def comes_back(context: Context, name: str) -> set[int | None]:
    """Which revision list, show and history say comes back with the next server, while none runs."""
    assert drift_of(context, name) == ""
    current = {view.number for view in history(context, name) if view.current}
    view = show(context, name)
    assert not view.pending
    return {view.revision, *(entry.revision for entry in packages(context.catalogue) if entry.name == name), *current}


def test_a_failed_switch_is_not_gone_back_to(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(11.0), name="failed"))
    load(context, "failed")
    upgrade(context, "failed", content(tmp_path / "2", scaled(12.0), name="failed"))
    with pytest.raises(ServerError, match="NaN"):
        upgrade(context, "failed", content(tmp_path / "nan", logarithm(), name="failed"))
    assert drift_of(context, "failed") == ""
    rollback(context, "failed")
    assert serving_answer(context, "failed") == 11.0


def test_what_was_proved_is_not_pruned(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(1.5), name="pruned"))
    load(context, "pruned")
    for number in (2, 3, 4):
        change(context, "pruned", {"max_batch_size": number})
        with pytest.raises(TritonpmError):
            exchange(context, "pruned", content(tmp_path / f"nan{number}", logarithm(), name="pruned"))
            load(context, "pruned")
    unload(context, "pruned")
    prune(context, "pruned", 1)
    assert context.catalogue.get("pruned").proved == 1
    load_proved(context, "pruned")
    assert serving_answer(context, "pruned") == 1.5


def test_how_a_package_was_proved_is_remembered(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "nan", logarithm(), name="unprobed"))
    assert load(context, "unprobed", probe=False).probe == "not probed"
    assert restarted(context)["unprobed"] == ""
    assert is_loaded(context, "unprobed")
    with connect(context) as client:
        client.unload_and_wait("unprobed")
    assert list(sync(context)) == [("loaded", "unprobed", "")]
    with pytest.raises(ServerError, match="NaN"):
        load(context, "unprobed")
    assert is_loaded(context, "unprobed")


def test_what_was_proved_without_a_probe_has_a_canary_without_one(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "nan", logarithm(), name="unasked"))
    load(context, "unasked", probe=False)
    assert canary.start(context, "unasked", None, {"max_batch_size": 2}).probe == "not probed"
    loaded = canary.promote(context, "unasked")
    assert loaded is not None
    assert loaded.probe == "not probed"


def test_a_package_that_has_another_ones_former_name_is_left_alone(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(2.25), name="former"))
    load(context, "former")
    unload(context, "former")
    rename(context, "former", "renamed")
    import_package(context, content(tmp_path / "2", scaled(4.25), name="former"))
    load(context, "former")
    load(context, "renamed")
    assert is_loaded(context, "former")
    change(context, "renamed", {"max_batch_size": 2})
    load(context, "renamed")
    loaded = rollback(context, "renamed", 1)  # published under its former name
    assert loaded is not None
    assert loaded.name == "renamed"
    assert context.catalogue.get("renamed").settings.max_batch_size == 8
    assert (serving_answer(context, "renamed"), serving_answer(context, "former")) == (2.25, 4.25)
    unload(context, "renamed")
    assert is_loaded(context, "former")
    remove(context, "renamed")
    assert serving_answer(context, "former") == 4.25


def test_what_is_unloaded_without_a_server_does_not_come_back(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(2.75), name="offline"))
    load(context, "offline")
    stop(context, 30)
    unload(context, "offline")
    assert not context.catalogue.get("offline").wanted
    started(context)
    assert "offline" not in dict(load_all_proved(context))
    assert not is_loaded(context, "offline")


def test_what_shall_be_loaded_still_shall_under_another_name(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(3.75), name="early"))
    load(context, "early")
    stop(context, 30)
    rename(context, "early", "late")
    started(context)
    assert dict(load_all_proved(context))["late"] == ""
    assert serving_answer(context, "late") == 3.75


def test_what_is_loaded_elsewhere_is_left_alone_here(context: Context, tmp_path: Path) -> None:
    import_package(context, content(tmp_path / "1", scaled(4.75), name="away"))
    state = tmp_path / "other/state"
    other = embedded.start(embedded.find(), context.workspace.repository, state, detach=True)
    try:
        there = opened(context.workspace.root, server=other.http)
        load(there, "away")
        assert drift_of(context, "away") == ""
        assert not any(name == "away" for _, name, _ in sync(context))
        assert "away" not in restarted(context)
        assert not is_loaded(context, "away")
        with connect(there) as client:
            client.unload_and_wait("away")
        assert any("away is recorded as loaded" in sentence for sentence in status(there).drift)
        assert ("loaded", "away", "") in list(sync(there))
        assert is_loaded(there, "away")
        assert context.catalogue.get("away").server == other.http
    finally:
        embedded.stop(other, state, timeout=15)
        unload(context, "away")

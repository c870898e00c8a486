"""Members shared by cascades, canaries, kept versions, residency, reload and status, on a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonpm.client
from tests.support.load import ONES, serving_answer, under_load
from tests.support.models import WIDTH, logarithm, scaled
from tests.support.packages import cascade, single
from tests.support.waiting import until
from tests.support.workspaces import served
from tritonpm.core.errors import (
    BusyError,
    InferenceError,
    NotFoundError,
    RuleError,
    ServerError,
    UsageError,
)
from tritonpm.operations import canary
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.load import load
from tritonpm.operations.reload import reload
from tritonpm.operations.remove import remove
from tritonpm.operations.rename import rename
from tritonpm.operations.rollback import rollback
from tritonpm.operations.server import connect
from tritonpm.operations.set import change_live
from tritonpm.operations.show import show
from tritonpm.operations.status import status
from tritonpm.operations.unload import unload
from tritonpm.operations.upgrade import upgrade
from tritonpm.operations.verify import verify
from tritonpm.operations.why import why

pytestmark = pytest.mark.server
M1, M2, M3 = scaled(2.0, result="m"), scaled(3.0, source="m"), scaled(5.0, source="m")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with served(tmp_path_factory.mktemp("a workspace")) as context:
        yield context


def ready(context: Context) -> set[str]:
    with connect(context) as client:
        return {state.name for state in client.index() if state.state == "READY"}


def members(context: Context, name: str) -> set[str]:
    revision = context.catalogue.revision(name)
    assert revision is not None
    return {model.name for model in revision.models[:-1]}


def test_cascades_share_a_member_which_goes_with_its_last_user(context: Context, tmp_path: Path) -> None:
    import_package(context, cascade(tmp_path / "one", M1, M2, name="one"))
    import_package(context, cascade(tmp_path / "two", M1, M3, name="two"))
    load(context, "one")
    with connect(context) as client, under_load(context, "one") as seen:
        load(context, "two")
        (shared,) = members(context, "one") & members(context, "two")
        assert shared.startswith("first.")
        assert why(context, shared)[:2] == ["it is a member of the cascade one", "it is a member of the cascade two"]
        assert next(m.package for m in status(context).models if m.name == shared) == "one, two"
        assert float(client.infer("two", ONES)["y"][0, 0]) == 10.0
        unload(context, "two")
    assert seen.failures == []  # the shared member was neither reloaded nor taken away
    assert set(seen.answers) == {6.0}
    assert ready(context) == {"one", *members(context, "one")}
    unload(context, "one")
    assert ready(context) == set()
    remove(context, "one")
    assert (context.workspace.repository / shared).is_dir()  # two still has it
    remove(context, "two")
    assert list(context.workspace.repository.iterdir()) == []


ABOVE = f"""name: "above"
platform: "ensemble"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}
ensemble_scheduling {{ step {{ model_name: "base" model_version: -1
  input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }} }} }}
"""


def test_somebody_elses_ensemble_keeps_its_member(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "p", scaled(2.0), name="base"))
    load(context, "base")
    folder = context.workspace.repository / "above"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(ABOVE)
    with connect(context) as client:
        client.load_and_wait("above")
        with pytest.raises(BusyError, match=r"base is a part of above, which the server has loaded; .*--dependents"):
            unload(context, "base")
        assert client.ready("above")
        unload(context, "base", dependents=True)
    assert ready(context) == set()
    remove(context, "base")
    shutil.rmtree(folder)


def test_a_canary_is_promoted_under_load_or_given_up(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "a", scaled(2.0), name="a"))
    load(context, "a")
    with pytest.raises(UsageError, match="differs in its content or in its settings"):
        canary.start(context, "a", None, {})
    with pytest.raises(NotFoundError, match="a has no canary"):
        canary.promote(context, "a")
    with under_load(context, "a") as seen:
        with pytest.raises(ServerError, match="NaN"):
            canary.start(context, "a", single(tmp_path / "nan", logarithm(), name="x"), {})
        assert [entry.name for entry in context.catalogue.packages()] == ["a"]  # nothing of it stays
        archive = Path(shutil.make_archive(str(tmp_path / "b"), "zip", single(tmp_path / "b", scaled(3.0), name="x")))
        canary.start(context, "a", archive.as_uri(), {"max_batch_size": 4})
        assert ready(context) == {"a", "a-canary"}
        assert float(serving_answer(context, "a-canary")) == 3.0
        with pytest.raises(BusyError, match="a-canary is its canary"):
            rename(context, "a", "b")
        root = str(context.workspace.root)
        with tritonpm.client.use("a", project="line", workspace=root, canary=0.5) as model:
            answers = {float(model.infer(ONES)["y"][0, 0]) for _ in range(40)}
        assert answers == {2.0, 3.0}
        assert canary.promote(context, "a") is not None
    assert seen.failures == []
    assert set(seen.answers) == {2.0, 3.0}
    assert ready(context) == {"a"}
    assert show(context, "a").max_batch_size == 4
    canary.start(context, "a", None, {"mode": "performance", "instances": 2})  # the same content, other settings
    canary.abort(context, "a")
    assert ready(context) == {"a"}
    assert show(context, "a").mode == "shared"
    unload(context, "a")
    remove(context, "a")


def test_clients_that_pin_a_version_keep_it(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "v1", scaled(2.0), name="v"), changes={"kept_versions": 2})
    load(context, "v")
    with connect(context, "grpc") as client:

        def answer(version: str) -> float:
            return float(client.infer("v", ONES, version=version)["y"][0, 0])

        assert (answer(""), answer("1")) == (2.0, 2.0)
        upgrade(context, "v", single(tmp_path / "v2", scaled(3.0), name="x"))
        assert (answer(""), answer("1"), answer("2")) == (3.0, 2.0, 3.0)
        change_live(context, "v", {"max_batch_size": 2})
        assert (answer(""), answer("1"), answer("2")) == (3.0, 2.0, 3.0)
        upgrade(context, "v", single(tmp_path / "v3", scaled(4.0), name="x"))
        assert (answer(""), answer("2"), answer("3")) == (4.0, 3.0, 4.0)
        with pytest.raises((InferenceError, NotFoundError)):
            answer("1")
        rollback(context, "v", 1)
        assert (answer(""), answer("1")) == (2.0, 2.0)
        with pytest.raises((InferenceError, NotFoundError)):
            answer("3")
        upgrade(context, "v", single(tmp_path / "v4", scaled(5.0), name="x"))
        assert (answer(""), answer("4"), answer("3")) == (5.0, 5.0, 4.0)  # a number is never given twice
    assert verify(context) == []
    unload(context, "v")
    remove(context, "v")


def test_an_ensemble_has_no_versions(context: Context, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="an ensemble has no versions"):
        import_package(context, cascade(tmp_path / "c", M1, M2, name="c"), changes={"kept_versions": 2})


def test_reload_goes_unnoticed_and_status_tells(context: Context, tmp_path: Path) -> None:
    import_package(
        context, single(tmp_path / "r", scaled(2.0), name="r"), changes={"mode": "performance", "instances": 2}
    )
    with pytest.raises(ServerError, match="r is not loaded"):
        reload(context, "r")
    load(context, "r", wait=5.0)
    with under_load(context, "r") as seen:
        seen.everybody_again()
        reload(context, "r")
        told = until(lambda: next((m for m in status(context).models if m.name == "r" and m.inferences), None))
    assert seen.failures == []
    assert (told.instances, told.status) == (2, "loaded")
    assert told.queue_us is not None
    assert told.last_inference.startswith("2")
    unload(context, "r", force=True)
    remove(context, "r")

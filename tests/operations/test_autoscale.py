"""How many instances are worth it: the rule, and measurements on a real server, after which one change is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, save

from tests.support.models import WIDTH, scaled
from tests.support.packages import cascade, single
from tests.support.workspaces import QUICKLY, opened
from tritonpm.cli.app import cli
from tritonpm.core.errors import InferenceError
from tritonpm.operations import autoscale
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.stop import stop
from tritonpm.operations.use import release, use
from tritonpm.settings.settings import GROWTH


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setattr(autoscale, "WINDOW", 0.1)
    init(tmp_path / "workspace")
    return opened(tmp_path / "workspace")


@pytest.fixture
def served(context: Context, tmp_path: Path) -> Iterator[Context]:
    """With a package that a server has and a project uses."""
    serve(context, None, **QUICKLY)
    try:
        import_package(context, single(tmp_path / "in", scaled(2.0)))
        load(context, "p")
        use(context, "p", "a project", 600)
        yield context
    finally:
        stop(context, 15)


def typed(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "-w", str(context.workspace.root)])


@given(st.lists(st.floats(1.0, 1e4), min_size=5, max_size=5))
def test_the_smallest_number_beyond_which_doubling_brings_nothing(throughput: list[float]) -> None:
    rates = dict(zip((1, 2, 4, 8, 16), throughput, strict=True))

    def measure(fewer: int, more: int) -> tuple[float, float, float]:
        return rates[fewer], rates[more], rates[more] / rates[fewer]

    count, trials = autoscale.smallest(measure)
    assert count == 16 or rates[count * 2] < GROWTH * rates[count]
    tried = [trial.instances for trial in trials]
    assert tried == [1, 2, 4, 8, 16][: len(tried)]
    assert all(rates[n * 2] >= GROWTH * rates[n] for n in tried if n < count)


@pytest.mark.server
def test_instances_are_measured_on_a_server_that_goes_again(context: Context, tmp_path: Path) -> None:
    import_package(context, single(tmp_path / "in", scaled(2.0)))
    before = context.catalogue.get("p")
    changes, trials = autoscale.instances_that_pay(context, "p", {"precision": "FP16"})
    assert changes["instances"] in (1, 2, 4)
    assert (changes["mode"], changes["precision"]) == ("performance", "FP16")
    assert trials[0].throughput > 0
    assert context.catalogue.get("p") == before
    assert not list(context.workspace.staging.iterdir())
    assert not list(context.workspace.repository.iterdir())


@pytest.mark.long
@pytest.mark.server
def test_a_package_that_is_used_is_changed_live(served: Context) -> None:
    refused = typed(served, "set", "p", "--instances", "auto")
    assert "p is in use by a project; change it with `tritonpm set p … --live`" in str(refused.exception)
    done = typed(served, "set", "p", "--instances", "auto", "--live")
    assert done.exit_code == 0, done.exception
    settings = served.catalogue.get("p").settings
    assert (settings.mode, settings.instances in (1, 2, 4)) == ("performance", True)
    with connect(served) as client:
        [group] = client.config("p")["instance_group"]
        assert group.get("count", 1) == settings.instances
    release(served, "p", "a project")


@pytest.mark.server
def test_where_it_cannot_be_measured_nothing_has_changed(context: Context, tmp_path: Path) -> None:
    import_package(context, unanswerable(tmp_path / "never.onnx"))
    change(context, "never", {"mode": "performance", "instances": 3})
    before = context.catalogue.get("never")
    failed = typed(context, "set", "never", "--instances", "auto", "--live")
    assert isinstance(failed.exception, InferenceError)
    assert "it takes none of the made-up inputs" in str(failed.exception)
    assert context.catalogue.get("never") == before


@pytest.mark.server
@pytest.mark.long
def test_the_instances_of_one_stage_are_measured(context: Context, tmp_path: Path) -> None:
    import_package(context, cascade(tmp_path / "c", scaled(2.0, result="m"), scaled(3.0, source="m")))
    done = typed(context, "set", "c", "--stage", "second", "--instances", "auto")
    assert done.exit_code == 0, done.exception
    settings = context.catalogue.get("c").settings
    assert settings.for_stage("second").mode == "performance"
    assert settings.for_stage("second").instances in (1, 2, 4)
    assert settings.for_stage("first").mode == "shared"


def unanswerable(path: Path) -> Path:
    """A model that loads and refuses every input: WIDTH values a row are no multiple of 7."""
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["b", WIDTH]), ("y", [7]))
    ]
    seven = helper.make_tensor("seven", TensorProto.INT64, [1], [7])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "seven"], ["y"])], "g", tensors[:1], tensors[1:], [seven]
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path

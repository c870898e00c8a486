"""What contradicts a change and was not asked for goes with it; what was asked for is refused; all can be unset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ruled import NAMES, PROVED, TARGET, package
from tritonpm.core.errors import RuleError
from tritonpm.core.types import Package
from tritonpm.settings import RULES, adjusted, broken, defaults, kept_by_stages, require, stage_changed, unset
from tritonpm.settings.settings import Settings

# A value of each setting that is not the usual one.
OTHER: dict[str, Any] = {
    "mode": "performance", "instances": 3, "device": "gpu", "gpus": (1,), "group_per_gpu": True, "max_batch_size": 4,
    "precision": "FP16", "optimizer": "auto", "calibration": ("sha256:" + "0" * 64,), "max_drop": 0.5,
    "tolerances": {"max_abs": 0.1}, "bf16": True, "openvino_device": "AUTO", "streams": "2", "threads": 2,
    "performance_hint": "LATENCY", "compute_capability": "8.9", "shapes": {"x": "1x4"}, "workspace_mb": 1,
    "builder_level": 1, "version_compatible": True, "hardware_compatible": True, "plugins": ("sha256:" + "1" * 64,),
    "backend": "openvino", "dynamic_batching": False, "preferred_batch_sizes": (2,), "queue_delay_us": 1,
    "version_policy": "all", "kept_versions": 2, "residency": "on-demand", "idle_seconds": 1, "warmup": False,
    "response_cache": True, "rate_limiter": {"r": 1}, "priority": 1, "cuda_graphs": True, "accelerators": ("openvino",),
    "parameters": {"a": "b"}, "preprocess": {"size": [8, 8]}, "decode": {"kind": "embedding"}, "serve": "image", "raw_outputs": True,
    "stages": {"a": {"priority": 2}},
}  # fmt: skip


def cascade() -> Package:
    one = package().stages[0]
    return replace(package(), stages=(replace(one, name="a"), replace(one, name="b")))


def told(
    before: Settings, changes: dict[str, object], of: Package | None = None, **options: Any
) -> tuple[Settings, tuple[str, ...]]:
    """What a change leads to, once the rules allow it."""
    of = of or package()
    axes = {stage.name: PROVED for stage in of.stages}
    after, dropped = adjusted(of, before, changes, axes, TARGET, **options)
    require(of, after, axes, TARGET)
    return after, dropped


GPU = Settings(device="gpu", gpus=(1, 0), group_per_gpu=True, cuda_graphs=True)
COMPILED = Settings(
    device="gpu-optimised", optimizer="tensorrt", precision="FP16", compute_capability="8.9", shapes={"x": "1x4"},
    accelerators=(), workspace_mb=64,
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "changes", "after", "dropped"),
    [
        (Settings(mode="performance", instances=2), {"mode": "shared"}, Settings(), {"instances"}),
        (GPU, {"device": "cpu"}, Settings(), {"gpus", "group_per_gpu", "cuda_graphs"}),
        (
            COMPILED, {"device": "cpu"}, Settings(precision="FP16"),
            {"optimizer", "compute_capability", "shapes", "workspace_mb"},
        ),
        (
            COMPILED, {"device": "gpu"}, Settings(device="gpu"),
            {"optimizer", "precision", "compute_capability", "shapes", "workspace_mb"},
        ),
        (
            Settings(precision="INT8", optimizer="openvino", streams="2", bf16=True), {"device": "gpu-optimised"},
            Settings(device="gpu-optimised", precision="INT8"), {"optimizer", "streams", "bf16"},
        ),
        (
            Settings(backend="openvino", performance_hint="LATENCY", openvino_device="AUTO"), {"device": "gpu"},
            Settings(device="gpu"), {"backend", "performance_hint", "openvino_device"},
        ),
        (Settings(backend="openvino", streams="2"), {"backend": None}, Settings(), {"streams"}),
        (Settings(backend="onnxruntime"), {"optimizer": "openvino"}, Settings(optimizer="openvino"), {"backend"}),
        (Settings(precision="FP16"), {"optimizer": "ort-openvino"}, Settings(optimizer="ort-openvino"), {"precision"}),
        (Settings(optimizer="ort-openvino"), {"precision": "INT8"}, Settings(precision="INT8"), {"optimizer"}),
        (
            Settings(preferred_batch_sizes=(2, 8)), {"max_batch_size": 4}, Settings(max_batch_size=4),
            {"preferred_batch_sizes"},
        ),
        (Settings(preferred_batch_sizes=(2, 4)), {"max_batch_size": 4}, None, set()),
        (
            Settings(device="gpu", accelerators=("tensorrt",)), {"device": "cpu"}, Settings(), {"accelerators"},
        ),
    ],
)  # fmt: skip
def test_what_contradicts_goes(
    before: Settings, changes: dict[str, object], after: Settings | None, dropped: set[str]
) -> None:
    found, names = told(before, changes)
    assert found == (after or replace(before, **changes))  # type: ignore[arg-type]
    assert set(names) == dropped


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (Settings(), {"mode": "shared", "instances": 2}),
        (Settings(), {"instances": 2}),
        (GPU, {"device": "cpu", "gpus": (1,)}),
        (Settings(), {"optimizer": "tensorrt"}),
        (Settings(), {"device": "gpu", "precision": "INT8"}),
        (Settings(), {"max_batch_size": 4, "preferred_batch_sizes": (8,)}),
    ],
)
def test_what_is_asked_for_now_and_contradicts_itself_is_refused(before: Settings, changes: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        told(before, changes)


def test_a_stages_own_goes_with_the_packages_change() -> None:
    before = stage_changed(Settings(device="gpu", gpus=(1,)), "a", {"gpus": [0], "priority": 1})
    after, dropped = told(before, {"device": "cpu"}, cascade())
    assert after == Settings(stages={"a": {"priority": 1}})
    assert set(dropped) == {"a: gpus", "gpus"}


def test_a_change_of_one_stage_leaves_the_others_what_they_have() -> None:
    before = Settings(device="gpu", gpus=(1,), cuda_graphs=True)
    after, dropped = told(before, {"device": "cpu"}, cascade(), stage="a")
    assert after.for_stage("b") == before
    assert after.for_stage("a") == Settings()
    assert set(dropped) == {"a: gpus", "a: cuda_graphs"}


def test_what_the_exporter_suggests_and_contradicts_goes_too() -> None:
    suggested = package(mode="performance", instances=4)
    after, dropped = told(defaults(suggested, {"model": PROVED}, "cpu"), {"mode": "shared"}, suggested)
    assert (after.mode, after.instances, dropped) == ("shared", None, ("instances",))


def test_only_settings_give_way() -> None:
    assert {name for rule in RULES for name in rule.gives_way} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_be_unset(name: str) -> None:
    start = Settings(**{name: OTHER[name]})
    assert getattr(start, name) != getattr(Settings(), name)
    assert unset(start, [name], Settings()) == Settings()
    assert unset(start, [name.replace("_", "-")], Settings()) == Settings()
    assert unset(Settings(), [name], start) == start


@pytest.mark.parametrize("name", [name for name in NAMES if name != "stages"])
def test_every_setting_of_a_stage_can_be_unset(name: str) -> None:
    both = stage_changed(stage_changed(Settings(), "a", {name: OTHER[name]}), "a", {"idle_seconds": 7})
    one = unset(both, ["idle-seconds"], Settings(), "a")
    assert one == (Settings() if name == "idle_seconds" else stage_changed(Settings(), "a", {name: OTHER[name]}))
    assert unset(one, [name], Settings(), "a") == Settings()
    assert unset(Settings(), [name], both, "a").for_stage("a").idle_seconds == (7 if name == "idle_seconds" else 300)


def test_a_stage_that_is_not_there_has_nothing_to_unset() -> None:
    with pytest.raises(RuleError, match="no stage 'third'"):
        told(Settings(), {}, cascade(), stage="third", unset=["precision"])


def test_what_is_unset_takes_along_what_contradicts_it() -> None:
    after, dropped = told(GPU, {}, unset=["device"])
    assert after == Settings()
    assert set(dropped) == {"gpus", "group_per_gpu", "cuda_graphs"}
    with pytest.raises(RuleError, match="both given and unset"):
        told(Settings(), {"device": "cpu"}, unset=["device"])
    with pytest.raises(RuleError, match="no setting 'colour'"):
        told(Settings(), {}, unset=["colour"])


@given(before=st.sets(st.sampled_from(NAMES[:-1])), changes=st.sets(st.sampled_from(NAMES[:-1])), stage=st.booleans())
def test_a_change_breaks_no_rule_that_it_does_not_name(before: set[str], changes: set[str], stage: bool) -> None:
    """Whatever stood and whatever is changed: what is asked for is there, and no rule that can give way is left broken."""
    of, axes = cascade(), {"a": PROVED, "b": PROVED}
    stood, _ = adjusted(of, Settings(), {name: OTHER[name] for name in sorted(before)}, axes, TARGET)
    asked = {name: OTHER[name] for name in sorted(changes)}
    after, dropped = adjusted(of, stood, asked, axes, TARGET, stage="a" if stage else None)
    found = after.for_stage("a") if stage else after
    assert all(getattr(found, name) == value for name, value in asked.items())
    assert not {name.split(": ")[-1] for name in dropped} & changes
    already = {rule.name for rule, _ in broken(of, stood, axes, TARGET)}
    for rule, _ in broken(of, after, axes, TARGET):
        assert rule.name in already or not rule.gives_way or set(rule.gives_way) & changes


def test_what_a_stage_keeps_of_its_own_is_told() -> None:
    settings = stage_changed(Settings(), "a", {"precision": "FP16", "priority": 1})
    (told,) = kept_by_stages("p", settings, {"precision", "optimizer"})
    assert told == (
        "p: stage a keeps its own precision; `tritonpm set p --stage a --unset precision` gives it the package's."
    )
    assert kept_by_stages("p", settings, {"max_batch_size"}) == ()

"""Every rule has a case that breaks it and one that does not, and says its sentence."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.support.ruled import DECLARED, NONE, PROVED, TARGET, UPTO_8, dlk, package
from tritonpm.core.errors import RuleError
from tritonpm.core.types import File, Format, Optimised, Task, Tensor
from tritonpm.operations.rules_page import page
from tritonpm.settings import RULES, broken, changed, defaults, require, stage_changed, warnings
from tritonpm.settings.settings import Settings

# rule → (settings that break it, what the sentence must hold, task, format, batch axis)
BREAKING = {
    "mode": (Settings(mode="fast"), "'fast'", Task.OTHER, Format.ONNX, PROVED),
    "device": (Settings(device="tpu"), "'tpu'", Task.OTHER, Format.ONNX, PROVED),
    "batch-size-range": (Settings(max_batch_size=65_537), "0 to 65536", Task.OTHER, Format.ONNX, PROVED),
    "batch-size-proved": (Settings(max_batch_size=16), "up to 8, not 16: row 9 is off", Task.OTHER, Format.ONNX, UPTO_8),
    "instance-segmentation-batch": (
        Settings(max_batch_size=2), "must be 1", Task.INSTANCE_SEGMENTATION, Format.ONNX, PROVED,
    ),
    "batch-axis": (Settings(max_batch_size=2), "'boxes'", Task.OTHER, Format.ONNX, NONE),
    "shared-instances": (Settings(instances=2), "one instance", Task.OTHER, Format.ONNX, PROVED),
    "instances-range": (Settings(mode="performance", instances=0), "1 to 64", Task.OTHER, Format.ONNX, PROVED),
    "gpus-need-gpu": (Settings(gpus=(0,)), "device is cpu", Task.OTHER, Format.ONNX, PROVED),
    "gpu-index": (Settings(device="gpu", gpus=(0, 0)), "repeated", Task.OTHER, Format.ONNX, PROVED),
    "backend-of-format": (Settings(backend="tensorrt"), "cannot serve onnx", Task.OTHER, Format.ONNX, PROVED),
    "openvino-cpu": (Settings(device="gpu"), "CPU only", Task.OTHER, Format.OPENVINO, PROVED),
    "plan-gpu": (Settings(), "GPU only", Task.OTHER, Format.TENSORRT, PROVED),
    "preferred-batch": (Settings(preferred_batch_sizes=(9,)), "(9,)", Task.OTHER, Format.ONNX, PROVED),
    "queue-delay": (Settings(queue_delay_us=-1), "-1", Task.OTHER, Format.ONNX, PROVED),
    "version-policy": (Settings(version_policy="newest"), "newest", Task.OTHER, Format.ONNX, PROVED),
    "kept-versions": (Settings(kept_versions=17), "1 to 16", Task.OTHER, Format.ONNX, PROVED),
    "residency": (Settings(residency="never"), "'never'", Task.OTHER, Format.ONNX, PROVED),
    "idle-seconds": (Settings(idle_seconds=0), "not 0", Task.OTHER, Format.ONNX, PROVED),
    "backend": (Settings(backend="../../.."), "not the name of a backend", Task.OTHER, Format.ONNX, PROVED),
    "threads-of-machine": (
        Settings(mode="performance", instances=2, threads=129), "the 2 cores", Task.OTHER, Format.ONNX, PROVED,
    ),
    "rate-limiter": (Settings(rate_limiter={"r": -1}), "0 to 65536", Task.OTHER, Format.ONNX, PROVED),
    "code-parameters": (
        Settings(parameters={"execution_env_path": "x"}),
        "load code",
        Task.OTHER,
        Format.ONNX,
        PROVED,
    ),
    "cuda-graphs-gpu": (Settings(cuda_graphs=True), "GPU only", Task.OTHER, Format.ONNX, PROVED),
    "precision": (Settings(precision="FP8"), "'FP8'", Task.OTHER, Format.ONNX, PROVED),
    "gpu-precision": (
        Settings(device="gpu", precision="FP16"), "FP16 on the GPU needs", Task.OTHER, Format.ONNX, PROVED,
    ),
    "optimizer": (Settings(optimizer="magic"), "'magic'", Task.OTHER, Format.ONNX, PROVED),
    "optimizer-of-device": (Settings(optimizer="tensorrt"), "for device cpu", Task.OTHER, Format.ONNX, PROVED),
    "optimizer-of-format": (Settings(optimizer="onnx"), "cannot take openvino", Task.OTHER, Format.OPENVINO, PROVED),
    "optimised-formats": (
        Settings(device="gpu-optimised", precision="FP16"), "is torchscript", Task.OTHER, Format.TORCHSCRIPT, PROVED,
    ),
    "accelerator-precision": (
        Settings(optimizer="ort-openvino", precision="FP16"), "at FP32 only", Task.OTHER, Format.ONNX, PROVED,
    ),
    "optimizer-of-backend": (
        Settings(backend="onnxruntime", optimizer="openvino"), "cannot serve what", Task.OTHER, Format.ONNX, PROVED,
    ),
    "tolerance-range": (Settings(tolerances={"max_abs": -1.0}), "negative", Task.OTHER, Format.ONNX, PROVED),
    "tolerances": (Settings(tolerances={"luck": 1.0}), "luck", Task.OTHER, Format.ONNX, PROVED),
    "openvino-device": (Settings(openvino_device="TPU"), "'TPU'", Task.OTHER, Format.ONNX, PROVED),
    "streams": (Settings(streams="many"), "'many'", Task.OTHER, Format.ONNX, PROVED),
    "performance-hint": (Settings(performance_hint="FAST"), "'FAST'", Task.OTHER, Format.ONNX, PROVED),
    "threads": (Settings(threads=0), "1 to 1024", Task.OTHER, Format.ONNX, PROVED),
    "compute-capability": (Settings(compute_capability="sm89"), "'sm89'", Task.OTHER, Format.ONNX, PROVED),
    "shapes": (Settings(shapes={"y": "1x4"}), "names no input", Task.OTHER, Format.ONNX, PROVED),
    "builder-level": (Settings(builder_level=6), "0 to 5", Task.OTHER, Format.ONNX, PROVED),
    "build-workspace": (Settings(workspace_mb=0), "1 to 1048576", Task.OTHER, Format.ONNX, PROVED),
    "meaning": (Settings(decode={"kind": "yolo"}), "'model' cannot mean that: kind", Task.OTHER, Format.ONNX, PROVED),
    "serve": (Settings(serve="pictures"), "tensors, image or encoded", Task.OTHER, Format.ONNX, PROVED),
    "raw-outputs": (Settings(raw_outputs=True), "none beside them", Task.OTHER, Format.ONNX, PROVED),
    "front-preprocess": (Settings(serve="image"), "how a picture becomes", Task.OTHER, Format.ONNX, PROVED),
    "front-decode": (Settings(serve="image"), "what the outputs", Task.OTHER, Format.ONNX, PROVED),
    "max-drop": (Settings(max_drop=2.0), "0 to 1", Task.OTHER, Format.ONNX, PROVED),
}  # fmt: skip

# rule that only warns → (settings that break it, what the sentence must hold, format, settings that do not)
WARNING = {
    "batching-without-effect": (
        Settings(backend="openvino", max_batch_size=32), "max batch size 32 has no effect", Format.ONNX,
        Settings(optimizer="ort-openvino", max_batch_size=32),
    ),
    "openvino-settings": (Settings(streams="4"), "no effect", Format.ONNX, Settings(backend="openvino", streams="4")),
    "tensorrt-settings": (
        Settings(workspace_mb=64), "no effect on device cpu", Format.ONNX,
        Settings(device="gpu-optimised", workspace_mb=64),
    ),
    "accelerators": (
        Settings(accelerators=("tensorrt",)), "('tensorrt',)", Format.ONNX,
        Settings(device="gpu", accelerators=("tensorrt",)),
    ),
    "absent-gpu": (Settings(device="gpu"), "no GPU", Format.ONNX, Settings()),
}  # fmt: skip

SEGMENTATION, DETECTION = Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION
# Rules of the Mech-DLK exporter → (a package and settings that break it, words, a package and settings that do not)
OF_THE_EXPORTER = {
    "mech-dlk-version": ((dlk("new"), Settings()), "'new' is not a version", (dlk("2.4.1"), Settings())),
    "mech-dlk-switching": (
        (dlk("2.4.0"), Settings(precision="FP16")), "cannot be chosen", (dlk("2.4.1"), Settings(precision="FP16")),
    ),
    "mech-dlk-gpu-default": (
        (dlk("2.2.0", SEGMENTATION), Settings(device="gpu", max_batch_size=1)),
        "does not run on the GPU as it came",
        (dlk("2.2.0", SEGMENTATION), Settings(device="cpu", max_batch_size=1)),
    ),
    "mech-dlk-engine-only": (
        (dlk("2.4.1", form=Format.TENSORRT, model="m.dlkmt"), Settings(device="gpu")),
        "holds only an engine (m.dlkmt)",
        (dlk("2.4.1", form=Format.TENSORRT, model="m.dlkmt"), Settings(device="gpu-optimised")),
    ),
    "mech-dlk-slow-detection": (
        (dlk("2.4.1", DETECTION, max_instances=1), Settings()),
        "is slow on the CPU",
        (dlk("2.4.1", DETECTION, max_instances=2), Settings()),
    ),
}  # fmt: skip


def test_every_rule_has_a_breaking_case() -> None:
    elsewhere = {
        "kept-versions-of-one",
        "single-rows",
        "batch-size-of-a-folder",
        "batching-unproved",
        "front-adopted",
        "crops",
    }
    assert {*BREAKING, *WARNING, *OF_THE_EXPORTER, *elsewhere} == {rule.name for rule in RULES}


def test_what_is_only_declared_is_joined_with_a_warning_where_that_was_asked_for() -> None:
    assert any("nothing proves" in said for said in warnings(package(), Settings(), {"model": DECLARED}, TARGET))
    off = Settings(dynamic_batching=False)
    assert not any("nothing proves" in said for said in warnings(package(), off, {"model": DECLARED}, TARGET))
    assert defaults(package(), {"model": DECLARED}, "cpu").dynamic_batching is False


def test_a_folder_with_a_config_of_its_own_says_itself_that_it_does_not_batch() -> None:
    adopted = package()
    adopted = replace(adopted, stages=(replace(adopted.stages[0], config="config.pbtxt"),))
    with pytest.raises(RuleError, match="leaves the batch to the model"):
        require(adopted, Settings(max_batch_size=0), {"model": PROVED}, TARGET)
    require(package(), Settings(max_batch_size=0), {"model": PROVED}, TARGET)


def test_no_front_stands_before_a_config_of_its_own() -> None:
    adopted = package()
    adopted = replace(adopted, stages=(replace(adopted.stages[0], config="config.pbtxt"),))
    said = Settings(serve="image", preprocess={"size": [8, 8]}, decode={"kind": "classification"})
    with pytest.raises(RuleError, match="a front cannot be put before"):
        require(adopted, said, {"model": PROVED}, TARGET)
    require(package(), said, {"model": PROVED}, TARGET)


def test_only_a_model_whose_config_we_make_has_versions() -> None:
    adopted = package()
    adopted = replace(adopted, stages=(replace(adopted.stages[0], config="config.pbtxt"),))
    with pytest.raises(RuleError, match="an ensemble has no versions"):
        require(adopted, Settings(kept_versions=2), {"model": PROVED}, TARGET)
    require(package(), Settings(kept_versions=2), {"model": PROVED}, TARGET)


@pytest.mark.parametrize("name", BREAKING)
def test_broken_rule_says_its_sentence(name: str) -> None:
    settings, words, task, form, axis = BREAKING[name]
    found = {
        rule.name: rule.explain(case) for rule, case in broken(package(task, form), settings, {"model": axis}, TARGET)
    }
    assert words in found[name]
    with pytest.raises(RuleError):
        require(package(task, form), settings, {"model": axis}, TARGET)


@pytest.mark.parametrize("name", WARNING)
def test_what_has_no_effect_is_told_and_not_refused(name: str) -> None:
    settings, words, form, fine = WARNING[name]
    require(package(form=form), settings, {"model": PROVED}, TARGET)
    assert any(words in said for said in warnings(package(form=form), settings, {"model": PROVED}, TARGET))
    assert name not in {rule.name for rule, _ in broken(package(form=form), fine, {"model": PROVED}, TARGET)}


def test_an_openvino_package_is_warned_of_batching_only_where_that_was_chosen() -> None:
    native = package(form=Format.OPENVINO)
    first = defaults(native, {"model": PROVED}, "cpu")
    assert warnings(native, first, {"model": PROVED}, TARGET) == []
    assert "has no effect" in warnings(native, replace(first, max_batch_size=32), {"model": PROVED}, TARGET)[0]


def test_one_value_a_row_is_not_joined_which_is_told_where_it_was_chosen() -> None:
    handed_in = package()
    rows = replace(handed_in.stages[0].signature, inputs=(Tensor("x", "FP32", ("batch",)),))
    handed_in = replace(handed_in, stages=(replace(handed_in.stages[0], signature=rows),))
    assert warnings(handed_in, Settings(), {"model": PROVED}, TARGET) == []
    assert "one value a row" in warnings(handed_in, Settings(max_batch_size=32), {"model": PROVED}, TARGET)[0]


def test_what_was_made_says_what_serves() -> None:
    signature = package().stages[0].signature
    automatic = Settings(optimizer="auto", max_batch_size=32)
    for format, count in ((Format.OPENVINO, 1), (Format.ONNX, 0)):
        made = Optimised("auto", "FP32", format, signature, "m", (File("m", "sha256:0", 1),))
        assert len(warnings(package(), automatic, {"model": PROVED}, TARGET, {"model": made})) == count


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tolerances": {"max_abs": float("inf")}}, "tolerances max_abs is inf"),
        ({"tolerances": {"max_abs": float("nan")}}, "tolerances max_abs is nan"),
        ({"max_drop": float("-inf")}, "max_drop is -inf"),
        ({"rate_limiter": {"r": 1 << 63}}, "rate_limiter r has more than 64 bits"),
        ({"gpus": (1 << 70,)}, "gpus has more than 64 bits"),
        ({"stages": {"model": {"max_drop": float("inf")}}}, "max_drop is inf"),
        ({"stages": {"model": {"colour": "red"}}}, "no setting 'colour'"),
        ({"stages": {"model": {"stages": {}}}}, "no stages of its own"),
    ],
)
def test_what_no_catalogue_can_keep_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RuleError, match=words):
        changed(Settings(), changes)


@pytest.mark.parametrize("field", [field.name for field in fields(Settings) if field.type in ("int", "int | None")])
def test_a_number_of_more_than_64_bits_is_refused(field: str) -> None:
    with pytest.raises(RuleError, match="more than 64 bits"):
        changed(Settings(), {field: -(1 << 63) - 1})


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("form", [Format.ONNX, Format.OPENVINO, Format.TENSORRT])
@pytest.mark.parametrize("task", [SEGMENTATION, DETECTION])
@pytest.mark.parametrize("version", ["2.2.0", "2.2", "2.4.0", "2.4.1", "3.0"])
def test_what_an_exporter_wrote_can_be_imported_as_it_is_on_any_machine(
    version: str, task: Task, form: Format, device: str
) -> None:
    handed_in = dlk(version, task, form)
    require(handed_in, defaults(handed_in, {"model": PROVED}, device), {"model": PROVED}, TARGET)


@pytest.mark.parametrize("version", ["", "new", "2", "2.4.1-rc1", "build 2024.11", "2.4.1.0"])
def test_what_is_no_version_is_told(version: str) -> None:
    with pytest.raises(RuleError, match="is not a version"):
        require(dlk(version), Settings(), {"model": PROVED}, TARGET)


@pytest.mark.parametrize("name", OF_THE_EXPORTER)
def test_rules_of_the_exporter(name: str) -> None:
    (broken_package, settings), words, (fine_package, fine) = OF_THE_EXPORTER[name]
    found = {
        rule.name: (rule, rule.explain(case))
        for rule, case in broken(broken_package, settings, {"model": PROVED}, TARGET)
    }
    rule, sentence = found[name]
    assert words in sentence
    if rule.level == "warning":
        require(broken_package, settings, {"model": PROVED}, TARGET)
        assert any(words in said for said in warnings(broken_package, settings, {"model": PROVED}, TARGET))
    assert name not in {rule.name for rule, _ in broken(fine_package, fine, {"model": PROVED}, TARGET)}
    assert not [
        r
        for r, _ in broken(replace(broken_package, exporter="hand"), settings, {"model": PROVED}, TARGET)
        if r.name == name
    ]


def test_defaults_break_no_rule() -> None:
    everything = itertools.product(Task, Format, (PROVED, NONE), ("cpu", "gpu"))
    for task, form, axis, device in everything:
        handed_in = package(task, form)
        settings = defaults(handed_in, {"model": axis}, device)
        require(handed_in, settings, {"model": axis}, TARGET)
        assert settings.max_batch_size == (1 if axis is NONE or task is Task.INSTANCE_SEGMENTATION else 8)


def test_stages_of_a_cascade_run_where_their_format_can() -> None:
    one, other = package(form=Format.OPENVINO).stages[0], package(form=Format.TENSORRT).stages[0]
    both = replace(package(), stages=(replace(one, name="a"), replace(other, name="b")))
    settings = defaults(both, {"a": PROVED, "b": PROVED}, "gpu")
    assert [settings.for_stage(name).device for name in ("a", "b")] == ["cpu", "gpu"]
    require(both, settings, {"a": PROVED, "b": PROVED}, TARGET)


@pytest.mark.parametrize("policy", ["latest:1", "latest:3", "all", "specific:1", "specific:1,3", "specific:1024108044"])
def test_version_policies_of_triton_are_accepted(policy: str) -> None:
    require(package(), Settings(version_policy=policy), {"model": PROVED}, TARGET)


def test_changes_are_typed_and_named() -> None:
    assert changed(Settings(), {"gpus": [0, 1]}).gpus == (0, 1)
    with pytest.raises(RuleError, match="no setting 'colour'"):
        changed(Settings(), {"colour": "red"})
    with pytest.raises(RuleError, match="expected `int`"):
        changed(Settings(), {"max_batch_size": "many"})


def test_suggested_settings_of_the_exporter_come_before_ours() -> None:
    assert defaults(package(max_batch_size=4), {"model": PROVED}, "cpu").max_batch_size == 4


def test_a_stage_has_settings_of_its_own() -> None:
    settings = stage_changed(Settings(), "detect", {"max_batch_size": 2, "gpus": [0]})
    assert settings.for_stage("detect") == replace(Settings(), max_batch_size=2, gpus=(0,))
    assert settings.for_stage("classify") == Settings()
    with pytest.raises(RuleError, match="no stage 'nothing'"):
        require(package(), stage_changed(Settings(), "nothing", {"priority": 1}), {"model": PROVED}, TARGET)


def test_the_page_is_of_the_table() -> None:
    assert (Path(__file__).parents[2] / "docs/rules.md").read_text(encoding="utf-8") == page()

"""What is rendered: the config that was asked for, readable, stable, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.support.catalogued import NONE, PROVED, TARGET, package, stage
from tritonpm.core.errors import RenderError
from tritonpm.core.types import DTYPES, REVISION, BatchAxis, File, Format, Gpu, Optimised, Package, Target, Task
from tritonpm.operations.summary import batch_size
from tritonpm.package.config import parsed
from tritonpm.repository.config import messages
from tritonpm.repository.render import max_batch_size, render
from tritonpm.settings.settings import Settings

IMAGE = {"image": ("batch", 3, 8, 8)}
SCORES = {"scores": ("batch", 4)}
GPUS = Target(4, (Gpu(0, "NVIDIA L4", "8.9", 24 << 30, 20 << 30), Gpu(1, "NVIDIA L4", "8.9", 24 << 30, 20 << 30)))


def config(handed_in: Package, settings: Settings = Settings(), target: Target = TARGET, axis: Any = PROVED) -> Any:
    """The config of a single package's model, parsed back."""
    (model,) = render(handed_in, settings, target, {"s": axis}).models
    return parsed(next(f.text or "" for f in model.files if f.path == "config.pbtxt"), "config.pbtxt")


def single(**options: Any) -> Package:
    return package(stage("s", IMAGE, SCORES, **options))


def test_defaults() -> None:
    said = config(single())
    assert (said.name, said.backend, said.max_batch_size) == ("bolts", "onnxruntime", 8)
    assert list(said.input[0].dims) == [3, 8, 8]
    assert [(g.count, g.kind) for g in said.instance_group] == [(1, messages().ModelInstanceGroup.KIND_CPU)]
    assert said.HasField("dynamic_batching")
    assert [w.batch_size for w in said.model_warmup] == [1, 8]
    for field in ("version_policy", "response_cache", "optimization"):
        assert not said.HasField(field), field


def test_weights_of_a_package_that_came_in_under_a_name_that_is_code_are_not_written() -> None:
    named = single()
    file = replace(named.files[0], path="s/libtriton_onnxruntime.so")
    stages = (replace(named.stages[0], files=(*named.stages[0].files, file.path)),)
    with pytest.raises(RenderError, match="is a shared library; import the package again"):
        config(replace(named, stages=stages, files=(*named.files, file)))


def test_performance_mode_shares_the_cores() -> None:
    said = config(single(), Settings(mode="performance", instances=2))
    assert said.instance_group[0].count == 2
    assert said.parameters["intra_op_thread_count"].string_value == "2"
    assert config(single(), Settings(mode="performance")).instance_group[0].count == TARGET.cores


@given(
    total=st.integers(1, 96),
    free=st.lists(st.floats(0, 1), min_size=2, max_size=4),
    size=st.integers(0, 1 << 34),
    device=st.sampled_from(["cpu", "gpu"]),
    instances=st.none() | st.integers(1, 8),
)
def test_what_is_free_at_the_moment_changes_no_digest(
    total: int, free: list[float], size: int, device: str, instances: int | None
) -> None:
    one = single()
    one = replace(one, files=tuple(replace(file, size=size) for file in one.files))
    settings = Settings(mode="performance", device=device, instances=instances)
    targets = [Target(4, (Gpu(0, "NVIDIA L4", "8.9", total << 30, int((total << 30) * part)),)) for part in free]
    assert len({render(one, settings, target, {"s": PROVED}).digest for target in targets}) == 1


def test_the_default_number_of_instances_fits_half_of_the_smallest_gpu() -> None:
    def count(*gib: int) -> int:
        gpus = tuple(Gpu(index, "L4", "8.9", each << 30, 0) for index, each in enumerate(gib))
        settings = Settings(mode="performance", device="gpu")
        return int(config(single(), settings, Target(4, gpus)).instance_group[0].count)

    assert [count(24), count(8), count(24, 4), count(1)] == [8, 3, 1, 1]


@pytest.mark.parametrize("form", [Format.ONNX, Format.OPENVINO, Format.TENSORRT, Format.TORCHSCRIPT])
@pytest.mark.parametrize("axis", [PROVED, NONE])
@pytest.mark.parametrize("backend", [None, "openvino"])
@pytest.mark.parametrize("size", [1, 32])
def test_what_the_list_says_of_batches_is_what_triton_is_told(
    form: Format, axis: BatchAxis, backend: str | None, size: int
) -> None:
    if backend and form is not Format.ONNX:
        return
    one, settings = single(form=form), Settings(max_batch_size=size, backend=backend)
    told = config(one, settings, axis=axis).max_batch_size
    assert max_batch_size(render(one, settings, TARGET, {"s": axis})) == told
    assert batch_size(one.stages[0], settings, axis, None) == told


@pytest.mark.parametrize(("form", "most"), [(Format.OPENVINO, 0), (Format.ONNX, 32)])
def test_what_is_optimised_says_what_is_batched(form: Format, most: int) -> None:
    one, settings = single(), Settings(max_batch_size=32, optimizer="auto")
    made = Optimised("x", "FP32", form, one.stages[0].signature, "m.xml", (File("m.xml", "sha256:" + "2" * 64, 1),))
    rendered = render(one, settings, TARGET, {"s": PROVED}, optimised={"s": made})
    assert max_batch_size(rendered) == most
    assert batch_size(one.stages[0], settings, PROVED, made) == most
    assert batch_size(one.stages[0], replace(settings, optimizer="openvino"), PROVED, None) == 0


def test_gpus() -> None:
    kinds = messages().ModelInstanceGroup
    said = config(single(), Settings(device="gpu", gpus=(0, 1)), GPUS)
    assert [(g.kind, list(g.gpus)) for g in said.instance_group] == [(kinds.KIND_GPU, [0, 1])]
    said = config(single(), Settings(device="gpu", group_per_gpu=True), GPUS)
    assert [list(g.gpus) for g in said.instance_group] == [[0], [1]]
    (model,) = render(single(), Settings(), GPUS, {"s": PROVED}).models
    assert {f.path for f in model.files if f.path.startswith("configs/")} == {
        "configs/cpu.pbtxt",
        "configs/nvidia-l4.pbtxt",
    }


def test_no_batch_axis_is_said_with_its_reason() -> None:
    (model,) = render(single(), Settings(), TARGET, {"s": NONE}).models
    text = next(f.text or "" for f in model.files if f.path == "config.pbtxt")
    assert parsed(text, "").max_batch_size == 0
    assert "is a scalar" in text


def test_openvino_keeps_its_batch_dimension() -> None:
    said = config(single(form=Format.OPENVINO))
    assert said.max_batch_size == 0
    assert list(said.input[0].dims) == [-1, 3, 8, 8]
    assert not said.HasField("dynamic_batching")
    onnx = config(single(), Settings(backend="openvino"))
    assert onnx.default_model_filename == "model.onnx"


def test_openvino_weights_are_named_as_the_model() -> None:
    (model,) = render(single(form=Format.OPENVINO), Settings(), TARGET, {"s": PROVED}).models
    assert {f.path for f in model.files if f.blob} == {"1/model.xml", "1/model.bin"}


def test_one_value_a_row_has_a_batch_dimension_of_its_own() -> None:
    said = config(package(stage("s", {"x": ("b",)}, {"y": ("b",), "z": ("b", 2)})))
    assert (said.max_batch_size, said.HasField("dynamic_batching")) == (0, False)
    assert [list(t.dims) for t in (*said.input, *said.output)] == [[-1, 1], [-1, 1], [-1, 2]]
    assert [list(t.reshape.shape) for t in (*said.input, *said.output)] == [[-1], [-1], []]
    assert [list(sample.inputs["x"].dims) for sample in said.model_warmup] == [[1, 1], [8, 1]]


def test_one_value_a_row_may_come_out_of_a_batch() -> None:
    said = config(package(stage("s", {"x": ("b", 3)}, {"y": ("b",)})))
    assert (said.max_batch_size, list(said.output[0].dims), said.output[0].HasField("reshape")) == (8, [1], True)


def test_inputs_that_are_too_large_to_be_made_up_mean_no_warm_up() -> None:
    said = config(package(stage("s", {"x": ("b", 1 << 30)}, {"y": ("b", 2)})))
    assert not said.model_warmup


def test_labels_belong_to_the_output_that_they_count() -> None:
    handed_in = package(
        stage(
            "s", IMAGE, {"features": ("b", 9), "scores": ("b", 2)}, task=Task.IMAGE_CLASSIFICATION, labels=("ok", "nok")
        )
    )
    said = config(handed_in)
    assert [output.label_filename for output in said.output] == ["", "labels.txt"]


def test_every_setting_is_written() -> None:
    settings = Settings(
        max_batch_size=16, preferred_batch_sizes=(4, 8), queue_delay_us=100, version_policy="specific:1,3", warmup=False,
        response_cache=True, rate_limiter={"r": 2}, priority=3, parameters={"session.x": "1"}, accelerators=("openvino",),
    )  # fmt: skip
    said = config(single(), settings)
    assert list(said.dynamic_batching.preferred_batch_size) == [4, 8]
    assert said.dynamic_batching.max_queue_delay_microseconds == 100
    assert list(said.version_policy.specific.versions) == [1, 3]
    assert not said.model_warmup
    assert said.response_cache.enable
    limiter = said.instance_group[0].rate_limiter
    assert (limiter.resources[0].name, limiter.resources[0].count, limiter.priority) == ("r", 2, 3)
    assert said.parameters["session.x"].string_value == "1"
    assert said.optimization.execution_accelerators.cpu_execution_accelerator[0].name == "openvino"


def test_a_cascade() -> None:
    handed_in = package(stage("a", {"x": ("b", 4)}, {"y": ("b", 4)}), stage("c", {"in": ("b", 4)}, {"out": ("b", 2)}))
    axes = {"a": PROVED, "c": PROVED}
    revision = render(handed_in, Settings(stages={"c": {"max_batch_size": 2}}), TARGET, axes)
    first, second, ensemble = revision.models
    assert first.name.startswith("a.")
    assert len(first.name.split(".")[-1]) == 12
    said = parsed(next(f.text or "" for f in ensemble.files if f.path == "config.pbtxt"), "")
    assert (said.name, said.platform, said.max_batch_size) == ("bolts", "ensemble", 2)
    assert [step.model_name for step in said.ensemble_scheduling.step] == [first.name, second.name]
    assert not said.instance_group
    for model in (first, second):  # the config names the folder that it lies in
        assert parsed(next(f.text or "" for f in model.files if f.path == "config.pbtxt"), "").name == model.name
    other = render(handed_in, Settings(stages={"c": {"max_batch_size": 4}}), TARGET, axes)
    assert other.models[0].name == first.name  # an unchanged member keeps its name
    assert other.models[1].name != second.name  # a changed one never takes the old one's


def ensemble_of(*stages: Any, axes: Any) -> Any:
    """The config of the ensemble of these stages."""
    models = render(package(*stages), Settings(), TARGET, axes).models
    return parsed(next(f.text or "" for f in models[-1].files if f.path == "config.pbtxt"), "")


def test_a_cascade_is_as_batchable_as_its_rewritten_members() -> None:
    fixed = stage("a", {"x": (1, 4)}, {"y": (1, 4)})
    free = stage("a", {"x": ("batch", 4)}, {"y": ("batch", 4)}).signature
    last = stage("c", {"in": ("n", 4)}, {"out": ("n", 4)})
    axes = {"a": replace(PROVED, artefact="sha256:" + "1" * 64, signature=free), "c": PROVED}
    said = ensemble_of(fixed, last, axes=axes)
    assert (said.max_batch_size, list(said.input[0].dims)) == (8, [4])
    said = ensemble_of(replace(fixed, format=Format.OPENVINO), last, axes=axes)
    assert (said.max_batch_size, list(said.input[0].dims), list(said.output[0].dims)) == (0, [-1, 4], [-1, 4])


def test_an_ensemble_says_the_shapes_that_its_members_say() -> None:
    said = ensemble_of(stage("a", {"x": ("n",)}, {"y": ("n",)}), stage("c", {"in": ("n",)}, {"out": ("n", 4)}),
                       axes={"a": PROVED, "c": PROVED})  # fmt: skip
    assert (said.max_batch_size, list(said.input[0].dims)) == (0, [-1, 1])
    mixed = stage("a", {"x": ("n",)}, {"y": ("n",)}), stage("c", {"in": ("n",)}, {"out": ("n",)}, form=Format.OPENVINO)
    with pytest.raises(RenderError, match=r"a.y is \[-1, 1\] on Triton, but c.in takes \[-1\]"):
        ensemble_of(*mixed, axes={"a": PROVED, "c": PROVED})


def test_two_files_of_one_name_are_refused() -> None:
    odd = replace(stage("s", IMAGE, SCORES), model="s/net.onnx", files=("s/model.onnx", "s/net.onnx"))
    with pytest.raises(RenderError, match=r"two of its files would be 1/model\.onnx"):
        config(package(odd))


def test_another_config_for_other_hardware_is_another_revision() -> None:
    marks = {config(single(), target=target).parameters[REVISION].string_value for target in (TARGET, GPUS)}
    assert len(marks) == 2


def test_ranks_that_triton_must_know() -> None:
    handed_in = package(stage("s", {"x": ("b", 4)}, {"y": None}))  # type: ignore[dict-item]
    with pytest.raises(RenderError, match="'y' has no rank"):
        render(handed_in, Settings(), TARGET, {"s": NONE})


def test_a_template_of_the_workspace_is_taken_and_cannot_lie(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt.j2").write_text("# ours\n{% for text in fields.values() %}\n{{ text }}\n{% endfor %}\n")
    (model,) = render(single(), Settings(), TARGET, {"s": PROVED}, templates=tmp_path).models
    assert any((f.text or "").startswith("# ours") for f in model.files)
    for lie, words in (
        ("{{ fields.name }}\nbackend: 'python'", "backend.*input|input"),
        ("nonsense {", "renders no model configuration"),
        ("{{ fields.nothing }}", "cannot be rendered"),
    ):
        (tmp_path / "config.pbtxt.j2").write_text(lie)
        with pytest.raises(RenderError, match=words):
            render(single(), Settings(priority=1), TARGET, {"s": PROVED}, templates=tmp_path)


tensors = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(str.strip),
    st.lists(st.integers(1, 9) | st.sampled_from(["?", "h", "w"]), max_size=3).map(lambda d: ("batch", *d)),
    min_size=1,
    max_size=3,
)
choices = st.builds(
    Settings,
    mode=st.sampled_from(["shared", "performance"]),
    max_batch_size=st.integers(1, 128),
    queue_delay_us=st.integers(0, 10**6),
    warmup=st.booleans(),
    response_cache=st.booleans(),
    dynamic_batching=st.booleans(),
    version_policy=st.sampled_from(["latest:1", "latest:4", "all", "specific:1,2"]),
    parameters=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
)


@hypothesis(max_examples=60)
@given(tensors, tensors, st.sampled_from(DTYPES), choices, st.sampled_from([PROVED, NONE]))
def test_whatever_is_asked_for_is_what_stands_there(
    inputs: Any, outputs: Any, dtype: str, settings: Settings, axis: Any
) -> None:
    handed_in = package(stage("s", inputs, outputs, dtype=dtype))
    revision = render(handed_in, settings, TARGET, {"s": axis})
    assert revision == render(handed_in, settings, TARGET, {"s": axis})
    said = config(handed_in, settings, axis=axis)
    joins = axis is PROVED and all(len(shape) > 1 for shape in inputs.values())
    assert said.max_batch_size == (settings.max_batch_size if joins else 0)
    assert [tensor.name for tensor in said.input] == list(inputs)
    skip = 1 if joins else 0
    for entry, shape in zip(said.input, inputs.values(), strict=True):
        row = [1] if axis is PROVED and not joins and len(shape) == 1 else []
        assert list(entry.dims) == ([d if isinstance(d, int) else -1 for d in shape[skip:]] + row or [1])
    for key, value in settings.parameters.items():
        assert said.parameters[key].string_value == value
    assert said.parameters[REVISION].string_value
    assert replace(settings, max_batch_size=1) == settings or config(handed_in, settings, axis=axis) == said


@pytest.mark.parametrize(
    ("inputs", "dtype", "axis", "warmed"),
    [
        ({"x": (2, 3)}, "FP32", NONE, True),
        ({"x": ("b", 3)}, "FP16", PROVED, True),
        ({"x": (2, 3), "scales": (4,)}, "FP32", NONE, False),
        ({"x": (2, 3), "ratio": ()}, "FP32", NONE, False),
        ({"x": (2, 3)}, "INT64", NONE, False),
        ({"x": ("b", "width")}, "FP32", PROVED, False),
    ],
)
def test_a_warm_up_only_where_zeros_are_plausible(inputs: Any, dtype: str, axis: Any, warmed: bool) -> None:
    answer = ("b", 3) if axis is PROVED else (2, 3)
    assert bool(config(package(stage("s", inputs, {"y": answer}, dtype=dtype)), axis=axis).model_warmup) == warmed


@pytest.mark.parametrize(
    ("inputs", "dtype", "settings", "words"),
    [
        ({"x": ()}, "FP32", {"backend": "openvino"}, "only the embedded server takes this"),
        ({"x": (2, 3)}, "FP64", {"backend": "openvino"}, "only the embedded server takes this"),
        (
            {"x": (2, 3)},
            "BYTES",
            {"backend": "openvino"},
            "only the embedded server with TRITONPM_BACKENDS=python takes",
        ),
        ({"x": (2, 3)}, "FP32", {"backend": "openvino"}, "computes in bf16|compute in bf16"),
        ({"x": (2, 3)}, "FP32", {"backend": "openvino", "openvino_device": "AUTO", "streams": "2"}, "NUM_STREAMS"),
    ],
)
def test_what_the_container_refuses_or_alters_is_noted(inputs: Any, dtype: str, settings: Any, words: str) -> None:
    handed_in = package(stage("s", inputs, {"y": inputs["x"]}, dtype=dtype))
    notes = render(handed_in, Settings(**settings), TARGET, {"s": NONE}).models[-1].notes
    assert any(re.search(words, note) for note in notes)


def test_a_parameter_that_every_server_refuses_is_refused() -> None:
    handed_in = package(stage("s", {"x": (2, 3)}, {"y": (2, 3)}))
    chosen = Settings(parameters={"execution_mode": "fast"})
    with pytest.raises(RenderError, match="execution_mode is 'fast'"):
        render(handed_in, chosen, TARGET, {"s": NONE})

"""Real exports of torchvision, transformers and timm: a picture through Triton is what the family itself makes of it.

Needs the extra `families`; the weights are of chance, so that nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.support.families import export, module, torchvision
from tests.support.workspaces import QUICKLY, opened
from tritonpm.core.tensors import Array
from tritonpm.meaning.objects import Classification, Detection, Objects, Segmentation
from tritonpm.meaning.preprocess import prepare
from tritonpm.operations.context import Context
from tritonpm.operations.import_package import import_package
from tritonpm.operations.init import init
from tritonpm.operations.load import load
from tritonpm.operations.meanings import meaning_of
from tritonpm.operations.predictor import predictor_of
from tritonpm.operations.serve import serve
from tritonpm.operations.server import connect
from tritonpm.operations.set import change
from tritonpm.operations.stop import stop

pytestmark = [pytest.mark.long, pytest.mark.server]

ROWS = np.arange(120)[:, np.newaxis, np.newaxis]
COLUMNS = np.arange(200)[np.newaxis, :, np.newaxis]
PICTURE = ((np.sin(ROWS / 9 + np.arange(3)) * np.cos(COLUMNS / 13) + 1) * 127).astype(np.uint8)
Asked = Callable[..., tuple[Objects, Array, dict[str, Array]]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Import what lies in a folder, load it, and ask it with the picture: objects, the tensor that was sent, the answer."""
    root = tmp_path_factory.mktemp("families")
    init(root)
    context: Context = opened(root)
    serve(context, None, **QUICKLY)

    def ask(folder: Path, name: str, **settings: Any) -> tuple[Objects, Array, dict[str, Array]]:
        import_package(context, folder, name=name)
        if settings:
            change(context, name, settings)
        load(context, name)
        record = context.catalogue.get(name)
        first = meaning_of(record.package, record.settings).preprocess
        assert first is not None
        dtypes = {tensor.name: tensor.dtype for tensor in record.package.stages[0].signature.inputs}
        sent = prepare(PICTURE, first, dtypes).inputs
        with connect(context, "http") as client:
            (objects,) = predictor_of(context, name, client)([PICTURE])
            return objects, next(iter(sent.values())), client.infer(name, sent)

    yield ask
    stop(context, 15)


def boxes(objects: Objects) -> Array:
    """Corners, score and class of each, by score."""
    found = sorted((one for one in objects if isinstance(one, Detection)), key=lambda one: -one.score)
    return np.array([[*vars(one.box).values(), one.score, one.class_id] for one in found])


def theirs(listed: Any) -> Array:
    rows = np.concatenate(
        [listed["boxes"].numpy(), listed["scores"].numpy()[:, None], listed["labels"].numpy()[:, None]], axis=1
    )
    rows[:, :4] = np.clip(rows[:, :4], 0, [PICTURE.shape[1], PICTURE.shape[0]] * 2)
    rows = rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def test_timm_classifies(asked: Asked, tmp_path: Path) -> None:
    torchvision()
    import timm
    import torch
    from timm.models._hub import save_config_for_hf

    torch.manual_seed(1)
    model = timm.create_model("test_resnet", pretrained=False, num_classes=5)
    size = model.pretrained_cfg["input_size"]
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    export(model, tmp_path / "m/model.onnx", (torch.rand(2, *size),), ["x"], ["y"], axes)
    save_config_for_hf(model, str(tmp_path / "m/config.json"))
    objects, sent, _ = asked(tmp_path / "m", "timm")
    data = timm.data.resolve_data_config({}, model=model)
    from PIL import Image

    own = timm.data.create_transform(**data)(Image.fromarray(PICTURE))[None]
    assert_allclose(sent, own.numpy(), atol=0.04)  # Pillow rounds to whole pixels
    with torch.no_grad():
        want = model(torch.from_numpy(sent)).softmax(dim=1)[0]
    best = want.argsort(descending=True, stable=True)[:5]
    assert [one.class_id for one in objects if isinstance(one, Classification)] == best.tolist()
    assert_allclose([one.score for one in objects if isinstance(one, Classification)], want[best].numpy(), rtol=1e-3)


def test_torchvision_classifies(asked: Asked, tmp_path: Path) -> None:
    import torch

    tv = torchvision()
    import onnx

    torch.manual_seed(2)
    model, weights = tv.models.mobilenet_v3_small(num_classes=7), tv.models.MobileNet_V3_Small_Weights.DEFAULT
    for _ in range(3):  # or all of its answers are alike
        model.train()(torch.rand(8, 3, 224, 224))
    path = tmp_path / "m/model.onnx"
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    export(model, path, (torch.rand(2, 3, 224, 224),), ["x"], ["y"], axes)
    proto = onnx.load(path)
    onnx.helper.set_model_props(
        proto, {"transforms": str(weights.transforms()), "categories": "['a','b','c','d','e','f','g']"}
    )
    onnx.save(proto, path)
    objects, sent, answer = asked(tmp_path / "m", "mobilenet")
    own = weights.transforms()(torch.from_numpy(PICTURE).permute(2, 0, 1))[None]
    assert_allclose(sent, own.numpy(), atol=0.04)
    want = torch.from_numpy(answer["y"]).softmax(dim=1)[0].sort(descending=True)
    assert [one.class_id for one in objects if isinstance(one, Classification)] == want.indices[:5].tolist()
    assert_allclose([one.score for one in objects if isinstance(one, Classification)], want.values[:5], rtol=1e-3)


def test_torchvision_detects(asked: Asked, tmp_path: Path) -> None:
    import torch

    tv = torchvision()
    torch.manual_seed(3)
    model = tv.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4, score_thresh=0.05, detections_per_img=20
    ).eval()

    def lists(x: Any) -> Any:
        (found,) = model([x])
        return found["boxes"], found["scores"], found["labels"]

    example = torch.from_numpy(PICTURE).permute(2, 0, 1).float() / 255
    export(module(model, lists), tmp_path / "m/model.onnx", (example,), ["x"], ["boxes", "scores", "labels"],
           {"boxes": {0: "n"}, "scores": {0: "n"}, "labels": {0: "n"}})  # fmt: skip
    objects, _, answer = asked(
        tmp_path / "m", "ssdlite",
        preprocess={"resize": "none", "layout": "CHW", "scale": 1 / 255},
        decode={"kind": "boxes", "outputs": {"classes": "labels"}, "background": "first", "score": 0.05},
    )  # fmt: skip
    want = {name: torch.from_numpy(array) for name, array in answer.items()}  # its post-processing is in the export
    assert len(want["boxes"]) > 3
    assert_allclose(boxes(objects)[:, :5], theirs(want)[:, :5], rtol=1e-3, atol=0.05)


def test_torchvision_segments(asked: Asked, tmp_path: Path) -> None:
    import torch

    tv = torchvision()
    torch.manual_seed(4)
    model = tv.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()

    example = (torch.rand(1, 3, 96, 160),)
    export(module(model, lambda x: model(x)["out"]), tmp_path / "m/model.onnx", example, ["x"], ["out"])
    objects, sent, _ = asked(
        tmp_path / "m",
        "lraspp",
        preprocess={"size": [96, 160], "scale": 1 / 255},
        decode={"kind": "semantic-segmentation"},
    )
    (one,) = objects
    with torch.no_grad():
        logits = model(torch.from_numpy(sent))["out"]
    want = torch.nn.functional.interpolate(logits, PICTURE.shape[:2], mode="bilinear", align_corners=False).argmax(1)[0]
    assert isinstance(one, Segmentation)
    assert (one.classes == want.numpy()).mean() > 0.999


class Raw:
    """What transformers' post-processing reads."""

    def __init__(self, **tensors: Any) -> None:
        self.__dict__.update(tensors)


def test_transformers_classifies(asked: Asked, tmp_path: Path) -> None:
    import torch
    import transformers

    torchvision()
    torch.manual_seed(5)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        id2label={0: "bolt", 1: "nut", 2: "washer"}, label2id={"bolt": 0, "nut": 1, "washer": 2}, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64})
    _beside(model, processor, tmp_path / "m", ["pixel_values"], ["logits"], (torch.rand(2, 3, 64, 64),))
    objects, sent, _ = asked(tmp_path / "m", "vit")
    own = processor(PICTURE, return_tensors="pt")["pixel_values"]
    assert_allclose(sent, own.numpy(), atol=0.03)
    with torch.no_grad():
        want = model(torch.from_numpy(sent)).logits.softmax(dim=1)[0].sort(descending=True)
    assert [one.name for one in objects if isinstance(one, Classification)] == [
        config.id2label[index] for index in want.indices.tolist()
    ]
    assert_allclose([one.score for one in objects if isinstance(one, Classification)], want.values, rtol=2e-3)


def _beside(model: Any, processor: Any, folder: Path, inputs: list[str], outputs: list[str], example: Any) -> None:
    """The model as ONNX with what `save_pretrained` writes beside it."""

    def named(*arguments: Any) -> Any:
        answer = model(**dict(zip(inputs, arguments, strict=True)))
        return tuple(answer[name] for name in outputs)

    model.config.architectures = [type(model).__name__]
    axes = {name: {0: "batch"} for name in (*inputs, *outputs)}
    export(module(model, named), folder / "model.onnx", example, inputs, outputs, axes)
    processor.save_pretrained(folder)
    model.config.save_pretrained(folder)


@pytest.mark.parametrize("family", ["Yolos", "RTDetr"])
def test_transformers_detects(asked: Asked, tmp_path: Path, family: str) -> None:
    import torch
    import transformers

    torchvision()
    torch.manual_seed(6)
    labels = {index: f"part {index}" for index in range(3)}
    if family == "Yolos":
        config = transformers.YolosConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=[64, 96],
            patch_size=16, num_detection_tokens=12, id2label=labels, initializer_range=0.7,
        )  # fmt: skip
        processor = transformers.YolosImageProcessor(size={"height": 64, "width": 96}, do_pad=False)
        size = (64, 96)
    else:
        backbone = transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        config = transformers.RTDetrConfig(
            backbone_config=backbone, encoder_hidden_dim=32, encoder_in_channels=[16, 16, 16], encoder_ffn_dim=32,
            encoder_attention_heads=2, d_model=32, decoder_in_channels=[32, 32, 32], decoder_ffn_dim=32,
            decoder_attention_heads=2, decoder_layers=2, num_queries=12, num_denoising=0, id2label=labels,
        )  # fmt: skip
        processor = transformers.RTDetrImageProcessor(size={"height": 96, "width": 96}, do_pad=False)
        size = (96, 96)
    model = getattr(transformers, f"{family}ForObjectDetection")(config).eval()
    _beside(model, processor, tmp_path / "m", ["pixel_values"], ["logits", "pred_boxes"], (torch.rand(2, 3, *size),))
    objects, sent, answer = asked(tmp_path / "m", family.lower(), decode={"score": 0.05})
    own = processor(PICTURE, return_tensors="pt")["pixel_values"]
    assert_allclose(sent, own.numpy(), atol=0.03)
    raw = Raw(**{name: torch.from_numpy(array) for name, array in answer.items()})
    (want,) = processor.post_process_object_detection(raw, threshold=0.05, target_sizes=[PICTURE.shape[:2]])
    assert len(want["boxes"]) > 3
    assert_allclose(boxes(objects), theirs(want), rtol=5e-3, atol=0.1)
    assert all(isinstance(one, Detection) and one.name in (*labels.values(),) for one in objects)


def test_transformers_segments(asked: Asked, tmp_path: Path) -> None:
    import torch
    import transformers

    torchvision()
    torch.manual_seed(7)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[4, 2], hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, id2label={0: "ground", 1: "a", 2: "b"},
        initializer_range=0.5,
    )  # fmt: skip
    model = transformers.SegformerForSemanticSegmentation(config).eval()
    processor = transformers.SegformerImageProcessor(size={"height": 64, "width": 96})
    _beside(model, processor, tmp_path / "m", ["pixel_values"], ["logits"], (torch.rand(2, 3, 64, 96),))
    ((one,), sent, _) = asked(tmp_path / "m", "segformer")
    assert_allclose(sent, processor(PICTURE, return_tensors="pt")["pixel_values"].numpy(), atol=0.03)
    with torch.no_grad():
        answer = model(torch.from_numpy(sent))
    (want,) = processor.post_process_semantic_segmentation(answer, target_sizes=[PICTURE.shape[:2]])
    assert isinstance(one, Segmentation)
    assert (one.classes == want.numpy()).mean() > 0.999

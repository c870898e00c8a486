"""What exporters write is read as they mean it, and what they do not write stays unknown."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritonpm.core.types import Shape, Signature, Tensor
from tritonpm.meaning.inferred import BESIDE, Sources, inferred
from tritonpm.meaning.spec import Decode, Preprocess, decode, preprocess


def signature(inputs: dict[str, Shape], outputs: dict[str, Shape]) -> Signature:
    sides = ({name: Tensor(name, "FP32", shape) for name, shape in side.items()} for side in (inputs, outputs))
    one, other = sides
    return Signature(tuple(one.values()), tuple(other.values()))


IMAGE: Shape = ("batch", 3, 320, 640)
YOLO = signature({"images": IMAGE}, {"output0": ("batch", 6, 4200)})
ULTRALYTICS = {
    "description": "Ultralytics YOLOv8n model trained on parts.yaml", "author": "Ultralytics", "task": "detect",
    "stride": "32", "batch": "1", "imgsz": "[320, 640]", "names": "{0: 'bolt', 1: 'nut'}", "version": "8.3.0",
}  # fmt: skip


def read(
    of: Signature, metadata: dict[str, str] | None = None, beside: dict[str, Any] | None = None, *,
    softmax: bool | None = None,
) -> tuple[str, Preprocess | None, Decode | None, tuple[str, ...]]:  # fmt: skip
    layers, labels = inferred(Sources(metadata or {}, beside or {}, of, softmax, "models/"))
    parts: dict[str, Any] = {}
    for layer in layers.values():
        parts |= layer
    first = preprocess(parts["preprocess"]) if "preprocess" in parts else None
    return ", ".join(layers), first, decode(parts["decode"]) if "decode" in parts else None, labels


def test_ultralytics_detection() -> None:
    who, first, then, labels = read(YOLO, ULTRALYTICS)
    assert (who, labels) == ("Ultralytics", ("bolt", "nut"))
    assert first == Preprocess(resize="letterbox", size=(320, 640), fill=114, scale=1 / 255)
    assert then == Decode("yolov8", iou=0.7)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"task": "obb"}, "yolov8-obb"),
        ({"task": "pose", "kpt_shape": "[17, 3]"}, "yolov8-pose"),
        ({"task": "classify"}, "classification"),
        ({"args": "{'nms': True}"}, "yolov10"),
        ({"end2end": "True"}, "yolov10"),
        ({"task": "segment"}, None),  # with one output, which is no segmentation head
        ({"task": "segment", "args": "{'nms': True}"}, None),
        ({"task": "pose", "kpt_shape": "[17, 3]", "end2end": "True"}, "yolov10-pose"),
        ({"task": "obb", "args": "{'nms': True}"}, "yolov10-obb"),
        ({"description": "Ultralytics rtdetr-l model"}, None),
        ({"task": "depth"}, None),
    ],
)
def test_ultralytics_tasks(change: dict[str, str], kind: str | None) -> None:
    then = read(YOLO, ULTRALYTICS | change)[2]
    assert (then.kind if then else None) == kind
    if kind and kind.endswith("-pose"):
        assert then and then.keypoints == (17, 3)


def test_ultralytics_segmentation_has_prototypes() -> None:
    heads = signature({"images": IMAGE}, {"output0": ("batch", 38, 4200), "output1": ("batch", 32, 80, 160)})
    then = read(heads, ULTRALYTICS | {"task": "segment"})[2]
    assert then and then.outputs == {"predictions": "output0", "prototypes": "output1"}
    inside = read(heads, ULTRALYTICS | {"task": "segment", "end2end": "True"})[2]
    assert inside and (inside.kind, inside.outputs) == ("yolov10-segment", then.outputs)


def test_ultralytics_classifies_as_torchvision_does() -> None:
    of = signature({"images": ("batch", 3, 224, 224)}, {"output0": ("batch", 2)})
    first = read(of, ULTRALYTICS | {"task": "classify", "imgsz": "[224, 224]"})[1]
    assert first == Preprocess(resize="shortest-side", shortest=224, size=(224, 224), antialias=True, scale=1 / 255)


def test_ultralytics_says_it_beside_other_formats() -> None:
    beside = {"metadata.yaml": ULTRALYTICS | {"imgsz": [320, 640], "names": {"0": "bolt", "1": "nut"}}}
    who, first, then, labels = read(YOLO, {"model_info model_type": "YOLO", "model_info pad_value": "114"}, beside)
    assert first and then and (first.resize, then.kind, labels) == ("letterbox", "yolov8", ("bolt", "nut"))
    assert who == "Ultralytics"


def test_yolov5() -> None:
    metadata = {"stride": "32", "names": "['bolt', 'nut']"}
    rows = signature({"images": IMAGE}, {"output0": ("batch", 12600, 7)})
    who, first, then, labels = read(rows, metadata)
    assert (who, labels) == ("YOLOv5", ("bolt", "nut"))
    assert first and (first.size, first.fill) == ((320, 640), 114)
    assert then == Decode("yolov5")
    assert read(rows, metadata | {"author": "somebody"})[0] == ""
    assert read(signature({"images": IMAGE}, {"output0": ("batch", 7)}), metadata)[2] is None


def info(**said: str) -> dict[str, str]:
    return {f"model_info {key}": value for key, value in said.items()}


def test_model_api_detection() -> None:
    metadata = info(
        model_type="yolo_v8", labels="bolt hexagon_nut", resize_type="fit_to_window_letterbox", pad_value="114",
        scale_values="255", reverse_input_channels="YES", confidence_threshold="0.4", iou_threshold="0.6",
    )  # fmt: skip
    who, first, then, labels = read(YOLO, metadata)
    assert (who, labels) == ("model_info", ("bolt", "hexagon nut"))
    assert first == Preprocess(resize="letterbox", size=(320, 640), fill=114, std=(255.0,))
    assert then == Decode("yolov8", score=0.4, iou=0.6)


def test_model_api_takes_blue_first_and_a_mean_of_bytes() -> None:
    of = signature({"x": ("n", 224, 224, 3)}, {"y": ("n", 5)})
    metadata = info(model_type="Classification", mean_values="[123.7 116.3 103.5]", scale_values="58.4, 57.1, 57.4")
    _, first, then, _ = read(of, metadata, softmax=False)
    assert first == Preprocess(
        colour="BGR", size=(224, 224), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4), layout="NHWC"
    )
    assert then == Decode("classification", activation="softmax")
    assert read(of, metadata, softmax=True)[2] == Decode("classification")
    assert read(of, metadata)[2] is None  # nobody knows whether it ends in a softmax
    assert read(of, metadata | info(multilabel="True"))[2] == Decode("multi-label", activation="sigmoid")


@pytest.mark.parametrize(
    ("kind", "outputs", "wanted"),
    [
        ("ssd", {"d": (1, 1, 100, 7)}, Decode("ssd", space="unit")),
        ("ssd", {"boxes": ("b", 100, 5), "labels": ("b", 100)}, Decode("boxes", {"classes": "labels"})),
        ("MaskRCNN", {"boxes": ("n", 5), "labels": ("n",), "masks": ("n", 28, 28)},
         Decode("boxes", {"classes": "labels"}, masks="box")),
        ("Segmentation", {"y": ("b", 3, 320, 640)}, Decode("semantic-segmentation")),
        ("AnomalyDetection", {"y": ("b", 1, 320, 640)}, Decode("anomaly-map", {"map": "y"}, score=0.7, threshold=0.6)),
        ("bert", {"y": ("b", 3)}, None),
    ],
)  # fmt: skip
def test_model_api_kinds(kind: str, outputs: dict[str, Shape], wanted: Decode | None) -> None:
    of = signature({"images": IMAGE}, outputs)
    assert read(of, info(model_type=kind, image_threshold="0.7", pixel_threshold="0.6"))[2] == wanted


def test_what_is_embedded_is_not_done_again() -> None:
    assert read(YOLO, info(model_type="yolov8", resize_type="standard", embedded_processing="True"))[1] is None


VIT = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 224, "width": 224}, "resample": 2,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip
DETR = {
    "image_processor_type": "DetrImageProcessor", "size": {"shortest_edge": 800, "longest_edge": 1333},
    "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "do_pad": True,
}  # fmt: skip


def test_transformers_classification() -> None:
    of = signature({"pixel_values": ("b", 3, 224, 224)}, {"logits": ("b", 2)})
    config = {"architectures": ["ViTForImageClassification"], "id2label": {"1": "nut", "0": "bolt"}}
    who, first, then, labels = read(of, beside={"preprocessor_config.json": VIT, "config.json": config})
    assert (who, labels) == ("transformers", ("bolt", "nut"))
    assert first == Preprocess(size=(224, 224), antialias=True, scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert then == Decode("classification", {"scores": "logits"}, activation="softmax")


def test_transformers_detection_with_a_mask_of_the_pixels() -> None:
    of = signature(
        {"pixel_values": ("b", 3, "h", "w"), "pixel_mask": ("b", "h", "w")},
        {"logits": ("b", 100, 92), "pred_boxes": ("b", 100, 4)},
    )
    beside = {"preprocessor_config.json": DETR, "config.json": {"architectures": ["DetrForObjectDetection"]}}
    _, first, then, _ = read(of, beside=beside)
    assert first and (first.shortest, first.longest, first.input) == (800, 1333, "pixel_values")
    assert first.geometry == {"pixel_mask": "pixel-mask"}
    assert then and (then.activation, then.background) == ("softmax", "last")
    beside["config.json"] = {"architectures": ["RTDetrV2ForObjectDetection"]}
    then = read(of, beside=beside)[2]
    assert then and (then.activation, then.background) == ("sigmoid", "none")
    beside["config.json"] = {"architectures": ["NewForObjectDetection"]}
    assert read(of, beside=beside)[2] is None


@pytest.mark.parametrize(
    "strange", [{"resample": 1}, {"size": 256}, {"rescale_offset": True}, {"image_mean": "?"}, {"size": {"max": 3}}]
)
def test_a_processor_that_is_not_understood_is_unknown(strange: dict[str, Any]) -> None:
    of = signature({"pixel_values": ("b", 3, 224, 224)}, {"logits": ("b", 2)})
    changed = VIT | {"image_processor_type": "NewImageProcessor"} | strange
    assert read(of, beside={"preprocessor_config.json": changed})[1] is None


def test_a_text_has_a_tokenizer() -> None:
    of = signature({"input_ids": ("b", "n"), "attention_mask": ("b", "n")}, {"logits": ("b", 2)})
    beside = {"tokenizer.json": {}, "config.json": {"architectures": ["BertForSequenceClassification"]}}
    _, first, then, _ = read(of, beside=beside)
    assert first and first.tokenizer == "models/tokenizer.json"
    assert then and then.kind == "classification"


def test_timm() -> None:
    pretrained = {
        "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "label_names": ["bolt", "nut"],
    }  # fmt: skip
    of = signature({"x": ("b", 3, "h", "w")}, {"y": ("b", 2)})
    who, first, then, labels = read(
        of, beside={"config.json": {"architecture": "resnet18", "num_classes": 2, "pretrained_cfg": pretrained}}
    )
    assert (who, labels) == ("timm", ("bolt", "nut"))
    assert first and (first.shortest, first.size, first.interpolation) == (
        math.floor(224 / 0.95),
        (224, 224),
        "bicubic",
    )
    assert then == Decode("classification", activation="softmax")


def test_torchvision() -> None:
    text = (
        "ImageClassification(\n    crop_size=[224]\n    resize_size=[232]\n    mean=[0.485, 0.456, 0.406]\n"
        "    std=[0.229, 0.224, 0.225]\n    interpolation=InterpolationMode.BILINEAR\n)"
    )
    of = signature({"x": ("b", 3, 224, 224)}, {"y": ("b", 2)})
    who, first, then, labels = read(of, {"transforms": text, "categories": "['bolt', 'nut']"})
    assert (who, labels) == ("torchvision", ("bolt", "nut"))
    assert first and (first.shortest, first.size, first.antialias) == (232, (224, 224), True)
    assert then == Decode("classification", activation="softmax")
    lists = signature({"x": (3, "h", "w")}, {"boxes": ("n", 4), "labels": ("n",), "scores": ("n",)})
    then = read(lists, {"transforms": "ObjectDetection()"})[2]
    assert then and (then.kind, then.outputs, then.background) == ("boxes", {"classes": "labels"}, "first")


NORMALISE = {
    "NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "scale": "1./255.", "order": "hwc"}
}
X = signature({"x": ("b", 3, "h", "w")}, {"y": ("b", 1, "h", "w")})


def test_paddle_text_detection() -> None:
    document = {
        "PreProcess": {"transform_ops": [{"DecodeImage": {"img_mode": "BGR"}}, {"DetLabelEncode": None},
                                         {"DetResizeForTest": None}, NORMALISE, {"ToCHWImage": None}]},
        "PostProcess": {"name": "DBPostProcess", "thresh": 0.2, "box_thresh": 0.45, "unclip_ratio": 1.4},
    }  # fmt: skip
    _, first, then, _ = read(X, beside={"inference.yml": document})
    assert first and (first.colour, first.shortest, first.reduce, first.multiple) == ("BGR", 736, False, 32)
    assert first.scale == pytest.approx(1 / 255)
    assert then == Decode("ocr-detection", score=0.45, threshold=0.2, unclip=1.4, most=1000)
    document["PreProcess"]["transform_ops"][2] = {"DetResizeForTest": {"resize_long": 960}}  # type: ignore[index]
    first = read(X, beside={"inference.yml": document})[1]
    assert first and (first.resize, first.size, first.multiple, first.multiple_above) == ("fit", (960, 960), 128, True)
    document["PreProcess"]["transform_ops"].append({"Rotate": None})  # type: ignore[attr-defined]
    assert read(X, beside={"inference.yml": document})[1] is None


def test_paddle_text_recognition() -> None:
    document = {
        "PreProcess": {
            "transform_ops": [{"DecodeImage": {"img_mode": "BGR"}}, {"RecResizeImg": {"image_shape": [3, 48, 320]}}]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": ["A", "B"]},
    }
    _, first, then, labels = read(X, beside={"inference.yml": document})
    assert first and (first.resize, first.size, first.fill, first.mean) == ("height", (48, 320), 127.5, (0.5,))
    assert then == Decode("ocr-recognition", space_character=True)
    assert labels == ("A", "B")


def test_paddle_classification() -> None:
    document = {
        "PreProcess": {
            "transform_ops": [{"ResizeImage": {"resize_short": 256}}, {"CropImage": {"size": 224}}, NORMALISE]
        },
        "PostProcess": {"Topk": {"topk": 2, "label_list": ["bolt", "nut"]}},
    }
    _, first, then, labels = read(X, beside={"inference.yml": document})
    assert first and (first.resize, first.shortest, first.size) == ("shortest-side", 256, (224, 224))
    assert then == Decode("classification", top_k=2)
    assert labels == ("bolt", "nut")


@pytest.mark.parametrize("of", [YOLO, X])
def test_shapes_alone_say_nothing(of: Signature) -> None:
    assert read(of) == ("", None, None, ())
    assert read(of, {"producer": "pytorch"}, {"config.json": {"name": "x"}}) == ("", None, None, ())


def test_what_does_not_fit_the_tensors_is_unknown() -> None:
    heads = signature({"images": IMAGE}, {f"head{index}": ("batch", 64, 8, 8) for index in range(3)})
    _, first, then, labels = read(heads, ULTRALYTICS)
    assert first is not None and then is None and labels


WORDS = st.sampled_from(
    ["author", "Ultralytics", "task", "detect", "segment", "imgsz", "names", "model_type", "ssd", "pretrained_cfg",
     "architectures", "size", "PreProcess", "transform_ops", "PostProcess", "name", "CTCLabelDecode", "DBPostProcess",
     "DetResizeForTest", "crop_pct", "image_processor_type", "id2label", "kpt_shape", "pose", "do_center_crop",
     "crop_size", "height", "width", "shortest_edge", "label_names", "CropImage", "ResizeImage", "Topk", "character_dict"]
) | st.text(max_size=5)  # fmt: skip
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, WORDS), st.dictionaries(st.sampled_from(BESIDE), ANYTHING), st.sampled_from([YOLO, X]))
def test_whatever_is_beside_a_model_is_no_error(
    metadata: dict[str, str], beside: dict[str, Any], of: Signature
) -> None:
    prefixed = {f"model_info {key}": value for key, value in metadata.items()}
    for said in (metadata, prefixed):
        layers, labels = inferred(Sources(said, beside, of))
        assert all(isinstance(label, str) for label in labels)
        for parts in layers.values():
            assert parts.keys() <= {"preprocess", "decode"}

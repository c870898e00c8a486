"""What a package says of a stage's tensors: `preprocess` and `decode` of package.yaml, as data that checks itself.

A mapping of such fields is how a manifest, an exporter's metadata and a setting say it; `preprocess` and `decode` read
one. What nobody said stays unknown: there is no Preprocess or Decode then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

Colour = Literal["RGB", "BGR", "GRAY"]
Resize = Literal["none", "stretch", "fit", "letterbox", "shortest-side", "height"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area"]
Layout = Literal["NCHW", "NHWC", "CHW", "HWC"]
# What an input beside the image is told of the picture: sizes as (height, width) unless they say otherwise.
Told = Literal["input-size", "picture-size", "picture-size-wh", "scale-factor", "pixel-mask"]
Kind = Literal[
    "classification", "multi-label", "yolov5", "yolov5-segment", "yolov8", "yolov8-segment", "yolov8-pose",
    "yolov8-obb", "yolov10", "yolov10-segment", "yolov10-pose", "yolov10-obb", "efficient-nms", "boxes", "ssd", "detr",
    "semantic-segmentation", "anomaly-map", "ocr-detection", "ocr-recognition", "embedding", "regression",
]  # fmt: skip
Activation = Literal["none", "sigmoid", "softmax"]
BoxFormat = Literal["xyxy", "xywh", "cxcywh", "yxyx"]
Space = Literal["input", "unit", "picture"]
MOST_SIDE = 1 << 14  # pixels of an input's side


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the input: colours, resize, then (value · scale - mean) / std, then layout and dtype.

    Resize: `stretch` to `size`; `fit` within it, the sides' ratio kept; `letterbox` as fit, filled up to `size`;
    `shortest-side` to `shortest`, ratio kept, the longest at most `longest`, then the centre of `size`; `height` to
    that of `size`, ratio kept, filled up to its width. Nothing is rounded on the way.
    """

    input: str = ""  # the tensor that the picture goes into; "": the model's only one
    colour: Colour = "RGB"
    resize: Resize = "stretch"
    size: tuple[int, int] | None = None  # (height, width)
    shortest: int | None = None
    longest: int | None = None
    enlarge: bool = True  # pictures that are smaller
    reduce: bool = True  # pictures that are larger
    multiple: int = 1  # of which the sides are, after `fit` and `shortest-side`: the nearest, or the next above
    multiple_above: bool = False
    position: Literal["centre", "top-left"] = "centre"  # of the picture in what is filled up
    fill: float = 0.0  # pixel value around it
    interpolation: Interpolation = "bilinear"
    antialias: bool = False  # made smaller, all pixels are averaged: as Pillow does, and OpenCV does not
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)  # one for all channels, or one each
    std: tuple[float, ...] = (1.0,)
    layout: Layout = "NCHW"
    dtype: str = "FP32"
    geometry: Mapping[str, Told] = field(default_factory=dict)  # inputs beside it, and what they are told
    tokenizer: str = ""  # for text instead of a picture: the package's tokenizer file

    def __post_init__(self) -> None:
        if self.resize in ("stretch", "fit", "letterbox", "height") and not self.size and not self.tokenizer:
            raise ValueError(f"resize {self.resize} needs a size (height, width)")
        if self.resize == "shortest-side" and not self.shortest:
            raise ValueError("resize shortest-side needs `shortest`, its length")
        for side in (*(self.size or ()), self.shortest or 1, self.longest or 1, self.multiple):
            if not 1 <= side <= MOST_SIDE:
                raise ValueError(f"a side has 1 to {MOST_SIDE} pixels, not {side}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ValueError(f"{name} has one value or {self.channels}, not {len(getattr(self, name))}")
        numbers = (self.scale, self.fill, *self.mean, *self.std)
        if not all(map(math.isfinite, numbers)) or not self.scale or not all(self.std):
            raise ValueError("scale and std are finite and not 0, fill and mean are finite")

    @property
    def channels(self) -> int:
        """Of a pixel."""
        return 1 if self.colour == "GRAY" else 3


# The outputs that each kind reads, by what they are; those with a '?' may be absent.
ROLES: Mapping[str, tuple[str, ...]] = {
    "classification": ("scores",),
    "multi-label": ("scores",),
    "yolov5": ("predictions",),
    "yolov5-segment": ("predictions", "prototypes"),
    "yolov8": ("predictions",),
    "yolov8-segment": ("predictions", "prototypes"),
    "yolov8-pose": ("predictions",),
    "yolov8-obb": ("predictions",),
    "yolov10": ("predictions",),
    "yolov10-segment": ("predictions", "prototypes"),
    "yolov10-pose": ("predictions",),
    "yolov10-obb": ("predictions",),
    "efficient-nms": ("count", "boxes", "scores", "classes"),
    "boxes": ("boxes", "scores?", "classes?", "masks?", "keypoints?"),
    "ssd": ("predictions",),
    "detr": ("boxes", "scores", "masks?"),
    "semantic-segmentation": ("scores",),
    "anomaly-map": ("map?", "score?"),
    "ocr-detection": ("map",),
    "ocr-recognition": ("scores",),
    "embedding": ("vector",),
    "regression": ("values",),
}
DETECTIONS = frozenset(
    {"yolov5", "yolov5-segment", "yolov8", "yolov8-segment", "yolov8-pose", "yolov8-obb", "yolov10",
     "yolov10-segment", "yolov10-pose", "yolov10-obb", "efficient-nms", "boxes", "ssd", "detr", "ocr-detection"}
)  # fmt: skip

# The kinds whose objects have at least a pixel in their mask: Ultralytics drops the others.
OF_PIXELS = frozenset({"yolov8-segment", "yolov10-segment"})

# The kinds that speak of a picture as a whole, or of no picture: where it lies in the input is nothing to them.
PLACELESS = frozenset({"classification", "multi-label", "ocr-recognition", "embedding", "regression"})


@dataclass(frozen=True)
class Decode:
    """What the outputs are. Class names are the stage's labels."""

    kind: Kind
    outputs: Mapping[str, str] = field(default_factory=dict)  # role (`ROLES`) → tensor; {}: the model's only one
    activation: Activation = "none"  # that the scores still need: softmax or sigmoid of logits
    top_k: int = 5
    score: float = 0.25  # of an object that counts, of a picture that is anomalous
    iou: float = 0.45  # boxes that overlap more are one
    agnostic: bool = False  # boxes of different classes, too
    most: int = 300  # objects of a picture
    boxes: BoxFormat = "xyxy"
    space: Space = "input"  # of boxes: pixels of the input, shares of it, pixels of the picture
    masks: Literal["input", "box"] = "input"  # what a mask covers, of kind `boxes`
    background: Literal["none", "first", "last"] = "none"  # among the classes of the model
    background_named: bool = False  # the labels name it, too
    keypoints: tuple[int, int] | None = None  # how many, and values of each (x, y, perhaps how visible)
    threshold: float = 0.5  # of a pixel that belongs: to a mask, a text, an anomaly
    unclip: float = 1.5  # OCR: by how much a text is larger than its core
    blank: Literal["first", "last"] = "first"  # OCR: among the characters, which are the labels
    space_character: bool = False  # OCR: after the labels comes the space, which no line of a labels file can hold

    def __post_init__(self) -> None:
        roles = {role.rstrip("?") for role in ROLES[self.kind]}
        if strange := sorted(set(self.outputs) - roles):
            raise ValueError(f"{self.kind} has no {strange[0]!r} among its outputs, but {', '.join(sorted(roles))}")
        if not (self.score >= 0 and 0 <= self.iou <= 1 and math.isfinite(self.threshold) and math.isfinite(self.score)):
            raise ValueError("score is 0 or more, iou is 0 to 1, threshold is a number")
        if self.top_k < 1 or self.most < 1 or not 1 <= self.unclip <= 10:
            raise ValueError("top_k and most are 1 or more, unclip is 1 to 10")
        if self.keypoints and (self.keypoints[0] < 1 or self.keypoints[1] not in (2, 3)):
            raise ValueError("keypoints is their number, and 2 or 3 values for each")


@dataclass(frozen=True)
class Crop:
    """Cut out what an earlier stage finds, and hand it on, a row each: answers to it belong to the boxes, in order.

    The pixels are those of the detector's input; of a package that takes pictures those of the picture. Of what they
    are resized and scaled to says the `preprocess` of the stage that takes them; objects are found as the detector's
    `decode` says.
    """

    of: str = ""  # the stage that finds; "": the one before
    into: str = ""  # the stage that takes the crops; "": the next
    margin: float = 0.0  # added on each side, as a share of the box's width and height
    most: int = 8  # objects of a picture, the best; no more than the stage that takes them may batch

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 4 or not 1 <= self.most <= 1024:
            raise ValueError("margin is 0 to 4, most is 1 to 1024")


@dataclass(frozen=True)
class Condition:
    """One of a verdict: how many objects there are of some kind, and how many there may be."""

    what: tuple[str, ...] = ()  # class names, any of them; (): all objects
    said: tuple[str, ...] = ()  # what a later stage says of the object, any of them; (): whatever it says
    sure: float = 0.5  # the least score of what is said
    score: float = 0.0  # the least of the object
    area: tuple[float, float] | None = None  # the least and most, in square pixels of the picture; of its mask, or box
    at_least: int | None = None
    at_most: int | None = None

    def __post_init__(self) -> None:
        least, most = self.at_least, self.at_most
        if least is None and most is None:
            raise ValueError("needs at_least or at_most, how many there may be")
        if min(least or 0, most or 0) < 0 or (least is not None and most is not None and least > most):
            raise ValueError("at_least is 0 or more, and at_most no less than it")
        if self.area and not 0 <= self.area[0] <= self.area[1]:
            raise ValueError("area is a minimum and a maximum, in square pixels")


Spec = TypeVar("Spec", Preprocess, Decode, Crop, Condition)


def preprocess(said: Mapping[str, object]) -> Preprocess:
    """The preprocessing that a mapping says. Raises ValueError with one sentence."""
    return _read(Preprocess, said)


def decode(said: Mapping[str, object]) -> Decode:
    """The decoding that a mapping says. Raises ValueError with one sentence."""
    return _read(Decode, said)


def crop(said: Mapping[str, object]) -> Crop:
    """The cropping that a mapping says. Raises ValueError with one sentence."""
    return _read(Crop, said)


def condition(said: Mapping[str, object]) -> Condition:
    """The condition that a mapping says. Raises ValueError with one sentence."""
    return _read(Condition, said)


def _read(kind: type[Spec], said: Mapping[str, object]) -> Spec:
    names = [one.name for one in fields(kind)]
    for name in said:
        if name not in names:
            raise ValueError(f"there is no {name!r}; it knows {', '.join(names)}")
    missing = [one.name for one in fields(kind) if one.name not in said and _required(one)]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        if known := _choices(kind, place.rstrip("`")):
            what = f"{said[place.rstrip('`')]!r} is not one of {', '.join(known)}"
        raise ValueError(f"{place.rstrip('`')}: {what}" if place else what) from None


def _choices(kind: type[Spec], name: str) -> tuple[str, ...]:
    """What a field may say, where it is one of a few words; else ()."""
    known = get_type_hints(kind).get(name)
    return tuple(map(str, get_args(known))) if get_origin(known) is Literal else ()


def _required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def plain(spec: Preprocess | Decode | Crop | Condition) -> dict[str, object]:
    """The mapping that says a spec: only what is not the usual."""
    usual = {one.name: one.default if one.default_factory is MISSING else one.default_factory() for one in fields(spec)}
    built = msgspec.json.decode(msgspec.json.encode(spec))
    return {name: built[name] for name, value in usual.items() if getattr(spec, name) != value}


def laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """`above` over `below`; what was said of another kind of decoding says nothing of this one."""
    other = "kind" in above and above["kind"] != below.get("kind")
    return {**({} if other else below), **above}

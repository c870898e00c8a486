"""What a picture holds, drawn over it: boxes, masks, keypoints, classes and text with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tritonpm.core.extras import needed
from tritonpm.core.tensors import Array
from tritonpm.meaning.objects import (
    Anomaly,
    Classification,
    Detection,
    Embedding,
    Object,
    Objects,
    Regression,
    Segmentation,
    Text,
)
from tritonpm.meaning.verdict import ANOMALOUS, NORMAL

# Colours that are told apart on light and dark, also by who sees few of them (Okabe and Ito).
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
_SHARE = 0.45  # of a mask's colour in the picture
_CAPTIONS = 8  # of what is said of the picture as a whole
_AREAS = 64  # classes of a picture that are painted
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Area:
    """What of the picture something covers: `mask` is a bool array of the picture's size."""

    name: str
    colour: Colour
    mask: Array


def colour_of(class_id: int) -> Colour:
    """The colour of a class, always the same."""
    return COLOURS[class_id % len(COLOURS)]


def drawn(picture: Array, objects: Objects) -> Any:
    """A Pillow image of the picture with its objects. Raises RequirementError where Pillow is missing."""
    with needed("drawing", "images"):
        from PIL import Image, ImageDraw
    pixels = picture.astype(np.float32)
    for one in objects:
        for area in areas_of(one):
            pixels[area.mask] = pixels[area.mask] * (1 - _SHARE) + np.array(area.colour, np.float32) * _SHARE
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for one in objects:
        if isinstance(one, Detection):
            _outline(pen, one, line)
    for one in objects:  # labels over everything
        if isinstance(one, Detection):
            _label(pen, (one.box.left, one.box.top), caption(one), colour_of(one.class_id), image.size)
    _captions(pen, [one for one in objects if not isinstance(one, Detection)], image.size)
    return image


def caption(one: Any) -> str:
    """An object in a few words."""
    if isinstance(one, Detection | Classification):
        answers = one.answers if isinstance(one, Detection) else ()
        return ", ".join((f"{one.name} {one.score:.2f}", *map(caption, answers)))
    if isinstance(one, Text):
        return f"{one.text!r} {one.score:.2f}"
    if isinstance(one, Anomaly):
        return f"{ANOMALOUS if one.anomalous else NORMAL} {one.score:.3g}"
    if isinstance(one, Segmentation):
        classes, counts = np.unique(one.classes, return_counts=True)
        shares = zip(classes.tolist(), (counts / max(one.classes.size, 1)).tolist(), strict=True)
        return ", ".join(f"{one.name(index)} {share:.1%}" for index, share in shares)
    if isinstance(one, Regression):
        return ", ".join(f"{value:.4g}" for value in one.values)
    return f"vector of {len(one.vector)}" if isinstance(one, Embedding) else str(one)


def areas_of(one: Object) -> list[Area]:
    """What an object covers of its picture."""
    if isinstance(one, Detection) and one.mask is not None:
        return [Area(one.name, colour_of(one.class_id), one.mask)]
    if isinstance(one, Segmentation):  # the first class is what is around the others
        seen = [index for index in np.unique(one.classes).tolist() if index > 0][:_AREAS]
        return [Area(one.name(index), colour_of(index - 1), one.classes == index) for index in seen]
    if isinstance(one, Anomaly) and one.map is not None:
        return [Area(ANOMALOUS, colour_of(5), one.map >= one.threshold)]
    return []


def corners_of(one: Detection) -> list[tuple[float, float]]:
    """The outline of an object: its polygon, or its box, turned where it has an angle."""
    if one.polygon:
        return list(one.polygon)
    box = one.box
    corners = np.array([[box.left, box.top], [box.right, box.top], [box.right, box.bottom], [box.left, box.bottom]])
    if one.angle is not None:
        centre, cosine, sine = corners.mean(axis=0), np.cos(one.angle), np.sin(one.angle)
        corners = (corners - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre
    return [(float(x), float(y)) for x, y in corners]


def _outline(pen: Any, one: Detection, line: int) -> None:
    colour, corners = colour_of(one.class_id), corners_of(one)
    pen.line([*corners, corners[0]], fill=colour, width=line, joint="curve")
    for x, y, *_ in one.keypoints:
        pen.ellipse([x - 2 * line, y - 2 * line, x + 2 * line, y + 2 * line], fill=colour)


def _label(pen: Any, at: tuple[float, float], text: str, colour: Sequence[int], size: tuple[int, int]) -> None:
    """Text on a plate above a point, kept within the picture."""
    from PIL import ImageFont

    font = ImageFont.load_default(max(10, round(max(size) / 50)))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x, y = max(0, min(at[0], size[0] - width)), max(0, min(at[1] - height, size[1] - height))
    pen.rectangle([x, y, x + width, y + height], fill=tuple(colour))
    pen.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0), font=font)


def _captions(pen: Any, objects: Sequence[Any], size: tuple[int, int]) -> None:
    step = max(10, round(max(size) / 50)) + 6
    for index, one in enumerate(objects[:_CAPTIONS]):
        _label(pen, (0, (index + 1) * step), caption(one), colour_of(getattr(one, "class_id", index)), size)

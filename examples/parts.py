"""Pictures of parts on a belt, drawn with a fixed seed: washers and plates, good, scratched and stained ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 96, 128
PARTS = ("washer", "plate")
DEFECTS = ("good", "scratch", "stain")
_SMALLEST, _LARGEST = 13, 19  # half a side, in pixels
_MOST = 4  # parts in a picture


@dataclass(frozen=True)
class Scene:
    """A picture [HEIGHT, WIDTH, 3] of red, green, blue, and for each part its corners, what it is and its defect."""

    picture: NDArray[np.uint8]
    boxes: NDArray[np.float64]  # [n, 4]: left, top, right, bottom
    parts: NDArray[np.int64]  # of PARTS
    defects: NDArray[np.int64]  # of DEFECTS


def scenes(count: int, seed: int) -> list[Scene]:
    """So many pictures, the same ones for the same seed; one in eight shows nothing but the belt."""
    random = np.random.default_rng(seed)
    return [_scene(random) for _ in range(count)]


def _scene(random: np.random.Generator) -> Scene:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    light = 1 + 0.25 * np.sin(columns / WIDTH * random.uniform(1, 4) + random.uniform(0, 6))
    canvas = np.full((HEIGHT, WIDTH, 3), random.uniform(35, 80, 3)) * light[..., np.newaxis]
    placed: list[tuple[float, float, float, float]] = []
    parts, defects = [], []
    for _ in range(0 if random.random() < 1 / 8 else int(random.integers(1, _MOST + 1))):
        high, wide = random.uniform(_SMALLEST, _LARGEST, 2)
        part, defect = int(random.integers(len(PARTS))), int(random.integers(len(DEFECTS)))
        wide = high if part == 0 else wide
        y, x = random.uniform(high + 1, HEIGHT - high - 1), random.uniform(wide + 1, WIDTH - wide - 1)
        box = (x - wide, y - high, x + wide, y + high)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in placed):
            continue
        _paint(canvas, rows - y, columns - x, (high, wide), part, defect, random)
        placed.append(box)
        parts.append(part)
        defects.append(defect)
    noisy = canvas + random.normal(0, 4, canvas.shape)
    boxes = np.array(placed, np.float64).reshape(-1, 4)
    return Scene(np.clip(noisy, 0, 255).astype(np.uint8), boxes, np.array(parts, np.int64), np.array(defects, np.int64))


def _paint(
    canvas: NDArray[Any], y: NDArray[Any], x: NDArray[Any], half: tuple[float, float], part: int, defect: int,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """A part around (0, 0) of the coordinates, and what is wrong with it."""
    high, wide = half
    away = np.hypot(y, x)
    if part == 0:
        shape = (away <= high) & (away >= high * 0.4)
    else:
        shape = (np.abs(y) <= high) & (np.abs(x) <= wide)
        for side in (-1, 1):  # two holes to screw it down
            shape &= np.hypot(y - side * high * 0.6, x - side * wide * 0.6) > high * 0.16
    canvas[shape] = random.uniform(140, 205) + random.uniform(-12, 12, 3)
    turn, off = random.uniform(0, np.pi), high * random.uniform(0.5, 0.75)
    across, along = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    if DEFECTS[defect] == "scratch":
        canvas[shape & (np.abs(across - off) < 0.9) & (np.abs(along) < high)] *= 0.35
    if DEFECTS[defect] == "stain":
        spot = np.hypot(across - off, along * random.uniform(0.8, 1.2)) < high * random.uniform(0.2, 0.3)
        canvas[shape & spot] *= np.array([0.75, 0.5, 0.3])

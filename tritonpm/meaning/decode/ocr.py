"""Text: where it is (DB, "Differentiable Binarization", arXiv 1911.08947) and what it says (CTC)."""

from __future__ import annotations

import numpy as np

from tritonpm.core.tensors import Array
from tritonpm.meaning.decode.about import About, Outputs, activated
from tritonpm.meaning.decode.areas import areas, smallest_rectangle
from tritonpm.meaning.objects import Detection, Text

LEAST_SIDE = 3 - 1e-6  # pixels of a text's shorter side, in the map: 3, but for what rounding takes


def ocr_detection(outputs: Outputs, about: About) -> tuple[Detection, ...]:
    """Each connected area of the map that is likely enough, as the smallest rectangle around it, made larger."""
    likely = np.asarray(outputs["map"], np.float64)
    likely = activated(likely.reshape(likely.shape[-2:]), about.spec.activation)
    found = []
    for rows, columns in areas(likely > about.spec.threshold):
        score = float(likely[rows, columns].mean())
        corners, sides = smallest_rectangle(rows, columns)
        if min(sides) < LEAST_SIDE or score < about.spec.score:
            continue
        distance = sides[0] * sides[1] * about.spec.unclip / (2 * (sides[0] + sides[1]))
        found.append((score, _grown(corners, distance)))
    found.sort(key=lambda pair: -pair[0])
    return tuple(_text(score, corners, likely.shape, about) for score, corners in found[: about.spec.most])


def _grown(corners: Array, distance: float) -> Array:
    """A rectangle [4, 2] with every side so much further out."""
    along = corners[1] - corners[0], corners[3] - corners[0]
    steps = [one / max(float(np.linalg.norm(one)), 1e-9) * distance for one in along]
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([corner + a * steps[0] + b * steps[1] for corner, (a, b) in zip(corners, signs, strict=True)])


def _text(score: float, corners: Array, size: tuple[int, ...], about: About) -> Detection:
    in_input = corners * np.array(about.geometry.input[::-1]) / np.array(size[::-1])
    placed = about.geometry.to_picture(in_input)
    height, width = about.geometry.picture
    placed = np.clip(placed, 0, [width, height])
    polygon = tuple((float(x), float(y)) for x, y in placed)
    box = np.concatenate([placed.min(axis=0), placed.max(axis=0)])
    return about.detection(box, score, 0, polygon=polygon)


def ocr_recognition(outputs: Outputs, about: About) -> tuple[Text, ...]:
    """Scores [steps, characters]: the likeliest of each step, repetitions and blanks left out."""
    scores = activated(outputs["scores"], about.spec.activation)
    characters = [*about.labels, *([" "] if about.spec.space_character else [])]
    blank = 0 if about.spec.blank == "first" else scores.shape[1] - 1
    best = scores.argmax(axis=1)
    starts = np.concatenate([[True], best[1:] != best[:-1]]) if len(best) else np.zeros(0, bool)
    kept = np.flatnonzero(starts & (best != blank))
    indices = best[kept] - (about.spec.blank == "first")
    text = "".join(characters[index] if index < len(characters) else "\ufffd" for index in indices.tolist())
    return (Text(text, float(scores[kept, best[kept]].mean()) if len(kept) else 0.0),)

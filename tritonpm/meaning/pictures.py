"""Pictures from files: as they are meant to be seen, whatever turn a camera noted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonpm.core.errors import NotFoundError, PackageError
from tritonpm.core.extras import needed
from tritonpm.core.tensors import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MOST_PIXELS = 1 << 26  # 8192 x 8192: unpacked and prepared, each takes 16 bytes
_INSTEAD = "give a PNG or JPEG"
_SENT_AS_THEY_ARE = ("JPEG", "MPO", "PNG")  # Pillow's formats that a server decodes; an MPO begins with a JPEG
_ORIENTATION, _TURNED = 0x0112, range(5, 9)  # EXIF's tag, and those of its values that swap the sides


@dataclass(frozen=True)
class Encoded:
    """A picture as a JPEG or PNG, and the shape that it has when it is decoded: (height, width, 3)."""

    data: bytes
    shape: tuple[int, int, int]


def pictures_in(path: Path) -> tuple[Path, ...]:
    """A file as it is, or the pictures of a folder by name. Raises NotFoundError where there is none."""
    if path.is_file():
        return (path,)
    found = tuple(sorted(one for one in path.glob("*") if one.suffix.lower() in SUFFIXES and one.is_file()))
    if not found:
        what = "holds no pictures" if path.is_dir() else "there is no such file or folder"
        raise NotFoundError(what, where=str(path), do=f"give a picture ({', '.join(SUFFIXES)}), or a folder of them")
    return found


def read_picture(path: Path) -> Array:
    """UINT8 [height, width, 3] of red, green, blue. Raises PackageError where it is no picture, RequirementError."""
    image = opened(path)
    return np.asarray(image, np.uint8)


def pixels(picture: Array | Path) -> Array:
    """A picture as it is, or a file's. Raises as `read_picture`."""
    return read_picture(picture) if isinstance(picture, Path) else picture


def opened(path: Path) -> Any:
    """The Pillow image, upright and in RGB. Raises as `read_picture`."""
    with _file(path) as image:
        from PIL import ImageOps

        if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
            raise PackageError(
                "has pixels of 32 bits, and nothing says what is black and what white", where=path.name,
                do="make them 8 or 16 bits",
            )  # fmt: skip
        return _of_bytes(ImageOps.exif_transpose(image)).convert("RGB")


def _of_bytes(image: Any) -> Any:
    """Of 16 bits of grey the upper ones, as Pillow's of colour; it would cut them off at 255."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def encoded(picture: Array | Path, format: str = "PNG") -> Encoded:
    """A picture as it is sent to a server that decodes it: a JPEG or PNG file as it is, else made one.

    Raises as `read_picture`.
    """
    if isinstance(picture, Path):
        with _file(picture) as image:
            if image.format in _SENT_AS_THEY_ARE:
                turned = image.getexif().get(_ORIENTATION) in _TURNED
                width, height = image.size[::-1] if turned else image.size
                return Encoded(picture.read_bytes(), (height, width, 3))
        picture = read_picture(picture)
    with needed("sending a picture as a file", "images"):
        from PIL import Image
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format, compress_level=1, quality=95)
    return Encoded(buffer.getvalue(), (picture.shape[0], picture.shape[1], 3))


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    """The Pillow image of a file, as the file has it. Raises as `read_picture`."""
    with needed("reading a picture", "images"):
        from PIL import Image, UnidentifiedImageError
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:  # before anything is unpacked
                raise PackageError(f"has more than {MOST_PIXELS} pixels", where=path.name, do="make it smaller")
            yield image
    except FileNotFoundError:
        raise NotFoundError("there is no such file", where=str(path), do="check the path") from None
    except UnidentifiedImageError:  # which says no more than that
        raise PackageError("is not a picture that can be read", where=path.name, do=_INSTEAD) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0]
        raise PackageError(f"is not a picture that can be read ({reason})", where=path.name, do=_INSTEAD) from None


def as_png(picture: Array, side: int | None = None) -> bytes:
    """A picture, UINT8 [height, width, 3], as a PNG whose longest side is at most `side`. Raises RequirementError."""
    with needed("showing a picture", "images"):
        from PIL import Image
    image, stream = Image.fromarray(picture), io.BytesIO()
    if side:
        image.thumbnail((side, side))
    image.save(stream, "png")
    return stream.getvalue()


def made_up(height: int, width: int, seed: int = 0) -> Array:
    """A picture with slopes, edges and patches of colour, where there is no real one."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], axis=-1)
    for _ in range(8):
        top, left = random.integers(0, height), random.integers(0, width)
        tall, wide = random.integers(1, height // 2 + 2), random.integers(1, width // 2 + 2)
        pixels[top : top + tall, left : left + wide] = random.integers(0, 256, 3)
    return np.asarray(pixels, np.uint8)


def batches(sizes: Iterator[tuple[int, ...]], most: int) -> Iterator[slice]:
    """Runs of at most `most` things that are of one size."""
    start, before, index = 0, None, -1
    for index, size in enumerate(sizes):
        if before is not None and (size != before or index - start == most):
            yield slice(start, index)
            start = index
        before = size
    if index >= 0:
        yield slice(start, index + 1)

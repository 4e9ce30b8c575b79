"""Images as arrays of pixels: a file, decoded on access; a part of an image; a grey image in place of one.

Pixels are those that are stored, since annotations (COCO's, and all that follow it) refer to stored pixels: an EXIF
orientation is applied only to a picture that is `turned`. An alpha channel is dropped; deeper grey becomes 8 bits.

Links are followed wherever they lead: they are the user's. A path that leaves its folder by its words is refused.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..grounding.samples import Box, Picture
from .grey import eight_bits
from .validation import Refused, leaves_folder

MAX_STORED_PIXELS = 80_000_000
"""Larger images are refused before they are decoded: a small file can hold an image that fills the memory."""

MAX_ASPECT = 200
"""The longer side by the shorter; Qwen2-VL's resizing raises an error beyond, in the middle of a training."""

CACHED = 8
"""Decoded images that are cached: samples of one image follow each other, in ODINW-13 one for each category."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that are opened; Pillow's other decoders are not meant for files of unknown origin."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows an image upright, by its EXIF orientation; 5 to 8 exchange width and height."""

_ORIENTATION = 0x0112  # EXIF's tag

_GREY = 128
_RED = (255, 0, 0)


@contextmanager
def opened(source: Path | BinaryIO) -> Iterator[Image.Image]:
    """An image of FORMATS whose pixels are not decoded yet. Raises Refused if it has more than MAX_STORED_PIXELS."""
    with Image.open(source, formats=FORMATS) as image:
        if image.width * image.height > MAX_STORED_PIXELS:
            raise Refused(f"has {image.width}x{image.height} pixels; at most {MAX_STORED_PIXELS}")
        yield image


def sliver(width: int, height: int) -> str | None:
    """Why an image of these sides, in pixels, is too slender for Qwen2-VL; None if it is not."""
    if max(width, height) <= MAX_ASPECT * min(width, height):
        return None
    return f"has {width}x{height} pixels: one side is more than {MAX_ASPECT} times the other, which Qwen2-VL refuses"


def fitted(width: int, height: int, most_pixels: int | None) -> tuple[int, int]:
    """Width and height once scaled down to `most_pixels`, if there are more."""
    scale = min(1.0, math.sqrt((most_pixels or math.inf) / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def scaled(image: Image.Image, most_pixels: int | None) -> NDArray[np.uint8]:
    """RGB, of shape (height, width, 3), scaled down to `most_pixels` if there are more; see FilePicture."""
    target = fitted(image.width, image.height, most_pixels)
    image.draft("RGB", target)
    rgb = eight_bits(image).convert("RGB")
    return np.asarray(rgb if rgb.size == target else rgb.resize(target, Image.Resampling.BOX))


def store(picture: Picture, folder: Path) -> str:
    """Writes the image as PNG into `folder`, created if missing, and returns the file's name: a hash of its pixels."""
    pixels = picture.pixels()
    name = f"{hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:20]}.png"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return name


@dataclass(frozen=True, slots=True)
class Header:
    """Stored width and height in pixels, EXIF's orientation (1: upright, 2 to 8: turned or flipped), Pillow's mode.

    `file`: its device and inode, which all paths and links to one file share.
    """

    width: int
    height: int
    orientation: int
    mode: str
    file: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FilePicture:
    """The image file at `path` below the folder `root`.

    With `most_pixels`, a larger image is scaled down to so many, proportions kept: by the decoder as far as
    it can (JPEG), so that a photograph of 20 megapixels is never held whole, then by a box filter.
    `turned`: its EXIF orientation is applied; width, height and pixels are those of the turned image.
    Every method raises Refused, with the file's name, if the path leads out of `root` by its words, or the file is
    missing, no image of FORMATS, cut off, of grey values without a known range, or larger than MAX_STORED_PIXELS.
    """

    root: Path
    path: str
    most_pixels: int | None = None
    turned: bool = False

    def size(self) -> tuple[int, int]:
        """Width and height, from the header alone."""
        with self._open() as image:
            width, height = image.size
            return (height, width) if self.turned and _orientation(image) > 4 else (width, height)

    def header(self) -> Header:
        """What its header says, whether it is turned or not."""
        with self._open() as image:
            status = self._inside().stat()
            return Header(*image.size, _orientation(image), image.mode, (status.st_dev, status.st_ino))

    def decoded_header(self) -> Header:
        """The header of a file whose pixels were decoded to the end."""
        header = self.header()
        self.pixels()
        return header

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3); read-only, since it is cached."""
        try:
            file = self._inside()
            status = file.stat()
        except (OSError, ValueError):  # opening raises it as Refused
            return self._decode()
        return _cached(self, file, status.st_size, status.st_mtime_ns)

    def _decode(self, file: Path | None = None) -> NDArray[np.uint8]:
        with self._open(file) as image:
            turn = _TURNS.get(_orientation(image)) if self.turned else None
            rgb = scaled(image, self.most_pixels)
            return rgb if turn is None else np.asarray(Image.fromarray(rgb).transpose(turn))

    def file(self) -> Path:
        """Its absolute path, links followed. Raises Refused if that is outside of `root`, or there is no file."""
        try:
            return self._inside()
        except Refused as error:
            raise Refused(f"{self.path!r} in {self.root}: {error}") from error

    @contextmanager
    def _open(self, file: Path | None = None) -> Iterator[Image.Image]:
        try:
            with opened(file or self._inside()) as image:
                yield image
        except Exception as error:  # decoders raise all sorts on a broken file
            reason = str(error) if isinstance(error, Refused) else f"cannot be read: {error}"
            raise Refused(f"image {self.path!r} in {self.root}: {reason}") from error

    def _inside(self) -> Path:
        if leaves_folder(self.path):
            raise Refused("leads out of this folder, which no annotation file may do")
        file = self.root / os.path.normpath(self.path)
        if not file.is_file():
            link = f"it is a link to {os.readlink(file)}, which is not there: fetch it" if file.is_symlink() else ""
            raise Refused(link or "there is no such file")
        return file.resolve()


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in _TURNS else 1


@lru_cache(maxsize=CACHED)
def _cached(picture: FilePicture, file: Path, size: int, modified_ns: int) -> NDArray[np.uint8]:
    """The pixels of the image's file as of this size and time of change."""
    pixels = picture._decode(file)
    pixels.setflags(write=False)
    return pixels


@dataclass(frozen=True, slots=True)
class CutOut:
    """The part of an image that a box covers, to the next whole pixels outwards."""

    of: Picture
    box: Box

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        whole = self.of.pixels()
        left, top, right, bottom = self.corners(whole.shape[1], whole.shape[0])
        return whole[top:bottom, left:right]

    def sliver(self, width: int, height: int, most_pixels: int | None) -> str | None:
        """Why Qwen2-VL cannot take it of a whole of this size, scaled to at most `most_pixels`; None if it can."""
        left, top, right, bottom = self.corners(*fitted(width, height, most_pixels))
        return sliver(right - left, bottom - top)

    def corners(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of a whole of this width and height."""
        left, top = math.floor(self.box[0] * width), math.floor(self.box[1] * height)
        right, bottom = math.ceil(self.box[2] * width), math.ceil(self.box[3] * height)
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class MarkedPicture:
    """An image with one red box drawn into it, as MIG-Bench marks the object that a query is about."""

    of: Picture
    box: Box

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of the shape of the image."""
        image = Image.fromarray(self.of.pixels())
        x1, y1, x2, y2 = (v * side for v, side in zip(self.box, image.size * 2, strict=True))
        width = max(2, round(min(image.size) / 150))
        ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), outline=_RED, width=width)
        return np.asarray(image)


@dataclass(frozen=True, slots=True)
class GreyPicture:
    """A grey image of the same size: an answer to it does not come from the image."""

    of: Picture

    def pixels(self) -> NDArray[np.uint8]:
        """Mid-grey, of the shape of the image."""
        return np.full_like(self.of.pixels(), _GREY)

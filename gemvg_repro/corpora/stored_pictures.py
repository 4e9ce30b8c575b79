"""How is a picture of a shard's row opened? Below its source's root or out of the shard, in its stated proportions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..files.pictures import FilePicture, MarkedPicture, opened, scaled
from ..files.validation import Refused
from ..grounding.samples import Box, Picture
from .frames import other_proportions
from .manifest import MANIFEST
from .readers.videos import SUFFIXES, VideoPicture


class OtherProportions(Refused):
    """A picture has not the proportions that its annotation states."""


@dataclass(frozen=True, slots=True)
class StatedPicture:
    """A picture that is annotated as `width` x `height` pixels; a rescaled copy has the same proportions.

    `pixels` raises OtherProportions, with the file, where it has not: the boxes would lie beside their objects."""

    of: FilePicture | VideoPicture
    width: int
    height: int

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        pixels = self.of.pixels()
        height, width = pixels.shape[:2]
        if other_proportions((self.width, self.height), (width, height)):
            raise OtherProportions(
                f"{self.of.path!r} in {self.of.root} has the proportions of {width}x{height}, its annotation those of "
                f"{self.width}x{self.height}; are both of one release? Replace it and build the data anew"
            )
        return pixels


def referenced_picture(root: Path, picture: Mapping[str, Any], most_pixels: int | None) -> Picture:
    """The image that a row refers to, without its mark."""
    path: str = picture["path"]
    plain: FilePicture | VideoPicture = FilePicture(root, path, most_pixels)
    if picture["member"] is not None and path.endswith(SUFFIXES):
        plain = VideoPicture(root, path, picture["member"], most_pixels)
    stated = picture["width"] and picture["height"]  # 0 where nothing was looked up
    return StatedPicture(plain, picture["width"], picture["height"]) if stated else plain


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """Picture `position` of a row of a row group of a shard, read lazily: a quarter of a million samples with embedded
    images fit into memory. With `most_pixels`, a larger one is scaled down to so many, as a FilePicture
    is. `pixels` raises Refused if it cannot be read or decoded, or is larger than MAX_STORED_PIXELS."""

    shard: Path
    group: int
    row: int
    position: int
    most_pixels: int | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        try:
            content = _jpegs(self.shard, self.group)[self.row][self.position]
            with opened(io.BytesIO(content)) as image:
                return scaled(image, self.most_pixels)
        except Exception as error:
            raise Refused(f"picture {self.position} of row {self.row}, group {self.group} of {self.shard} cannot be "
                          f"read: {error}") from error  # fmt: skip


@lru_cache(maxsize=8)
def _jpegs(shard: Path, group: int) -> list[list[bytes]]:
    """The embedded pictures of each row of a row group."""
    rows = pq.ParquetFile(shard).read_row_group(group, columns=["pictures"]).column("pictures").to_pylist()
    return [[picture["jpeg"] for picture in pictures] for pictures in rows]


def picture_of(
    picture: Mapping[str, Any], position: int, source: str, at: tuple[Path, int, int] | None,
    roots: Mapping[str, Path], most_pixels: int | None,
) -> Picture:  # fmt: skip
    plain: Picture
    if at is not None:
        plain = EmbeddedPicture(*at, position, most_pixels)
    elif source in roots:
        plain = referenced_picture(roots[source], picture, most_pixels)
    else:
        raise Refused(
            f"the pictures of {source} are not embedded, and no folder of them is known; name it under `pictures` in "
            f"{MANIFEST}, or build the data anew with the roots of its sources"
        )
    return plain if picture["mark"] is None else MarkedPicture(plain, box_of(picture["mark"]))


def box_of(values: Sequence[float]) -> Box:
    x1, y1, x2, y2 = values
    return (x1, y1, x2, y2)

"""How are fields of untrusted records validated? Numbers, boxes, sizes and paths, or the class of fault."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ...files.pictures import MAX_STORED_PIXELS, FilePicture
from ...files.validation import Refused, leaves_folder
from ...grounding.samples import Box
from ..frames import Skips, other_proportions, unit_box
from .videos import SUFFIXES, size_of_video

Size = tuple[int, int]
"""Width and height in pixels."""


def is_id(value: Any) -> bool:
    """Whether it can name a record: an integer, or text that is not empty."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value != "")


def four(value: Any) -> tuple[float, float, float, float] | None:
    """Four finite numbers, else None."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 4:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in value):
        return None
    return (float(value[0]), float(value[1]), float(value[2]), float(value[3]))


def box(value: Any, convention: Literal["xywh", "xyxy"], size: Size) -> Box | str:
    """A box in pixels as a unit box, or the class of fault."""
    numbers = four(value)
    if numbers is None:
        return "box that is no four finite numbers"
    x, y, right, bottom = numbers
    if convention == "xywh":
        if right < 0 or bottom < 0:
            return "box of negative width or height"
        right, bottom = x + right, y + bottom
    return unit_box((x, y, right, bottom), *size)


def size(width: Any, height: Any) -> Size | None:
    """Width and height if they can be those of a picture."""
    for side in (width, height):
        if not isinstance(side, int) or isinstance(side, bool) or side < 1:
            return None
    return (width, height) if width * height <= MAX_STORED_PIXELS else None


def path(value: Any) -> str | None:
    """A relative path that stays in its folder, with forward slashes; else None."""
    if not isinstance(value, str) or not value or "\0" in value or leaves_folder(value):
        return None
    return value.replace("\\", "/") if os.sep == "/" and "\\" not in value else None


def flickr(url: Any) -> str | None:
    """The mark of the photograph that a Flickr address names, "flickr:" and its number; else None."""
    number = re.search(r"/(\d{6,})_", str(url))
    return f"flickr:{number[1]}" if number else None


class Folder:
    """The files below a source's root, looked up without opening them; with None as root, all exist."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._listed: dict[str, frozenset[str]] = {}
        self._size_of_video = lru_cache(maxsize=256)(size_of_video)  # asked for once a frame

    def has(self, relative: str) -> bool:
        if self.root is None:
            return True
        folder, _, name = relative.rpartition("/")
        if folder not in self._listed:
            if len(self._listed) > 256:
                self._listed.clear()
            try:
                with os.scandir(self.root / folder) as entries:
                    self._listed[folder] = frozenset(e.name for e in entries if not e.is_symlink() or e.is_file())
            except OSError:
                self._listed[folder] = frozenset()
        return name in self._listed[folder]

    def size(self, relative: str) -> Size | None:
        """Width and height of an image, as stored, or of a video, as shown; None if it cannot be read."""
        if self.root is None:
            return None
        try:
            if relative.endswith(SUFFIXES):
                return self._size_of_video(FilePicture(self.root, relative).file())
            return FilePicture(self.root, relative).size()
        except Refused:
            return None

    def agrees(self, relative: str, stated: Size, where: str, skips: Skips) -> bool:
        """Whether a picture or video has the proportions that its annotation states; counts it if not.

        One that cannot be read is not judged here: composing leaves it out. EXIF's orientation is named, not applied.
        """
        actual = self.size(relative)
        if actual is None or not other_proportions(stated, actual):
            return True
        exif = "" if relative.endswith(SUFFIXES) else self._exif(relative)
        sizes = f"is {actual[0]}x{actual[1]}{exif}, annotated as {stated[0]}x{stated[1]}"
        skips.add("picture of other proportions than its annotation states", f"{where}: {relative} {sizes}")
        return False

    def _exif(self, relative: str) -> str:
        orientation = FilePicture(self.root, relative).header().orientation if self.root else 1
        return f" with EXIF orientation {orientation}" if orientation > 1 else ""

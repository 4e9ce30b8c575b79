"""Are the boxes of a COCO-format file [x, y, width, height] in pixels, as the format says?

Exporters also write fractions of the image, corners [x1, y1, x2, y2], or centres [x, y, width, height]. One box does
not show it; all boxes of a file do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .validation import numbers

_EDGE = 1.0  # pixels by which a box may cross an edge: the rounding of many exporters


class BoxUnits:
    """Counts how many boxes of a file lie within their image, by each reading of their four numbers."""

    def __init__(self) -> None:
        self.boxes = self.outside = 0
        self._fractions = self._corners = self._centres = 0

    def add(self, box: Sequence[float], width: int, height: int) -> None:
        """A box as the file has it, and the size of its image in pixels."""
        a, b, c, d = box
        size = width, height
        self.boxes += 1
        self.outside += not _within((a, b, a + c, b + d), size)
        self._fractions += max(box) <= 1 < max(size)
        self._corners += c > a and d > b and _within(box, size)
        self._centres += _within((a - c / 2, b - d / 2, a + c / 2, b + d / 2), size)

    def add_all(self, boxes: Iterable[Any], width: int, height: int) -> None:
        """The boxes of an image; what is no box is left out."""
        for box in boxes:
            if (four := numbers(box)) is not None:
                self.add(four, width, height)

    @property
    def not_pixels(self) -> str:
        """Why the boxes are not in pixels; empty if they can be."""
        if not self.boxes or self._fractions < self.boxes:
            return ""
        return (
            f"its {self.boxes:,} boxes are not in pixels: none has a number above 1; expected [x, y, width, height] in "
            "pixels: multiply x and width by the image's width, y and height by its height"
        )

    @property
    def other_reading(self) -> str:
        """What the boxes seem to be instead of [x, y, width, height], with numbers; empty if nothing shows."""
        readings = {"corners [x1, y1, x2, y2]": self._corners, "centres [x, y, width, height]": self._centres}
        likely = [reading for reading, boxes in readings.items() if boxes == self.boxes]
        if not self.outside or (not likely and 2 * self.outside <= self.boxes):
            return ""
        fault = f"{self.outside:,} of {self.boxes:,} boxes lie outside their images as [x, y, width, height]"
        if not likely:
            return f"{fault}: is bbox in pixels of the images that width and height state?"
        return f"{fault}, and none as {' or as '.join(likely)}: convert bbox to [x, y, width, height] in pixels"


def _within(corners: Sequence[float], size: tuple[int, int]) -> bool:
    left, top, right, bottom = corners
    return min(left, top) >= -_EDGE and right <= size[0] + _EDGE and bottom <= size[1] + _EDGE

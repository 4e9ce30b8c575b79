"""Converts, compares and matches boxes.

An array of boxes is float64 of shape (N, 4): the xyxy corners, in [0, 1] of the image's own width and
height unless a function says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from .samples import Target

Boxes = NDArray[np.float64]

Convention = Literal["xyxy", "xywh", "thousandths", "unit"]
"""`xyxy`: corners in pixels; `xywh`: top left corner and size in pixels (COCO); `thousandths`: corners
as integers from 0 to 1000 of width and height (Qwen2-VL); `unit`: corners in [0, 1], the package's own."""

ROUNDING = 1e-9
"""Tolerance for rounding: of an IoU equal to a threshold, and of a corner on an edge."""

DUPLICATE_IOU = 0.95
"""Two boxes of one category in one image that overlap more than this are one object, annotated twice."""

_HUGE = 1e100  # products of smaller coordinates are finite; NaN and infinity fail the comparison too


def as_array(boxes: ArrayLike) -> Boxes:
    """Any nesting of N boxes, also none, as a float64 array of shape (N, 4)."""
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def box_error(box: Sequence[float]) -> str | None:
    """Why a unit box is invalid: not four finite numbers, inverted, outside, without area. None for a valid one."""
    if len(box) != 4:
        return f"has {len(box)} numbers, not 4"
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):  # ten times as quick as numpy for four numbers
        return "has a coordinate that is not a finite number"
    if x1 > x2 or y1 > y2:
        return "has inverted corners: the first must be the top left one"
    if x1 < -ROUNDING or y1 < -ROUNDING or x2 > 1 + ROUNDING or y2 > 1 + ROUNDING:
        return "lies outside its image"
    if min(x2, 1) - max(x1, 0) <= ROUNDING or min(y2, 1) - max(y1, 0) <= ROUNDING:
        return "has no area"
    return None


def to_unit(boxes: ArrayLike, convention: Convention, size: tuple[int, int] | None = None) -> Boxes:
    """Boxes of any convention as unit boxes.

    `size` is the image's (width, height) in pixels.

    Raises:
        ValueError: a convention in pixels without a size, or one that there is not.
    """
    array = as_array(boxes)
    if convention == "xywh":
        array = np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)
    return array / _scale(convention, size)


def _scale(convention: Convention, size: tuple[int, int] | None) -> Boxes:
    if convention == "unit":
        return np.ones(4)
    if convention == "thousandths":
        return np.full(4, 1000.0)
    if convention not in get_args(Convention):
        raise ValueError(f"unknown box convention {convention!r}: expected one of {', '.join(get_args(Convention))}")
    if size is None or min(size) <= 0:
        raise ValueError(f"boxes in {convention} pixels need the image's (width, height), both above 0; got {size!r}")
    return np.array([*size, *size], dtype=np.float64)


def to_grid(boxes: ArrayLike, coordinate_step: int = 1) -> NDArray[np.int64]:
    """Unit boxes as integers from 0 to 1000, multiples of `coordinate_step`, of shape (N, 4).

    Each coordinate goes to the nearest multiple. A side that would vanish is widened to the multiples around
    it, so that every box keeps an area.

    Raises:
        ValueError: the step does not divide 1000.
    """
    if coordinate_step < 1 or 1000 % coordinate_step:
        raise ValueError(f"the coordinate step must divide 1000, such as 1, 10 or 20; got {coordinate_step!r}")
    exact = as_array(boxes).clip(0, 1) * 1000 / coordinate_step
    grid = np.rint(exact)
    low, high = grid[:, :2], grid[:, 2:]  # views: what follows changes the grid
    vanished = low == high
    low[vanished] = np.floor(exact[:, :2][vanished])
    high[vanished] = np.ceil(exact[:, 2:][vanished])
    return (grid * coordinate_step).astype(np.int64)


def pairwise_iou(a: ArrayLike, b: ArrayLike) -> Boxes:
    """Intersection over union of each box of `a` with each of `b`: (N, 4) and (M, 4) to (N, M) in [0, 1].

    0 wherever a box is invalid (no area, inverted, not finite). Any unit, the same in both.
    """
    a, b = as_array(a), as_array(b)
    with np.errstate(all="ignore"):
        (area_a, proper_a), (area_b, proper_b) = _area(a), _area(b)
        span = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
        inter = span.clip(min=0).prod(axis=2)
        union = area_a[:, None] + area_b[None, :] - inter
        return np.where(proper_a[:, None] & proper_b[None, :], np.minimum(inter / union, 1.0), 0.0)


def _area(boxes: Boxes) -> tuple[Boxes, NDArray[np.bool_]]:
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(axis=1)
    return area, (sides > 0).all(axis=1) & (np.abs(boxes) < _HUGE).all(axis=1) & (area > 0)


_BLOCK = 1000
"""Boxes that are compared at a time."""


def duplicates(boxes: ArrayLike) -> list[int]:
    """Places, in order, of boxes whose IoU with an earlier box that is no duplicate itself is above DUPLICATE_IOU.

    For the boxes of one category in one image: an object that was annotated twice.
    """
    array = as_array(boxes)
    kept: list[int] = []
    for start in range(0, len(array), _BLOCK):  # not all with all: a file may repeat a box 60,000 times
        block = range(start, min(start + _BLOCK, len(array)))
        same = pairwise_iou(array[block.start : block.stop], array[[*kept, *block]]) > DUPLICATE_IOU
        columns = list(range(len(kept)))
        earlier = len(kept)
        for row, n in enumerate(block):
            if not same[row, columns].any():
                kept.append(n)
                columns.append(earlier + row)
    return sorted(set(range(len(array))) - set(kept))


def target_iou(a: Sequence[Target], b: Sequence[Target]) -> Boxes:
    """IoU of every target of `a` with every one of `b`, (N, M); 0 between different pictures."""
    iou = pairwise_iou([target.box for target in a], [target.box for target in b])
    pictures_a, pictures_b = (np.array([target.picture for target in side], dtype=np.int64) for side in (a, b))
    return np.where(pictures_a[:, None] == pictures_b[None, :], iou, 0.0)


def match_by_iou(iou: Boxes) -> list[tuple[int, int]]:
    """The one-to-one matching with the largest sum of IoU, as (row, column) pairs; IoU 0 is no match."""
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if iou[row, column] > 0]


def match_largest(iou: Boxes, threshold: float) -> list[tuple[int, int]]:
    """A one-to-one matching with the most pairs among those of IoU >= threshold, as (row, column) pairs.

    Their number is that of the true positives. F1 may not match by the sum of IoU, which can give up a pair
    above the threshold for a larger sum.

    Raises:
        ValueError: a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the IoU threshold must be above 0 and at most 1; got {threshold!r}")
    if not iou.size:
        return []
    graph: Any = csr_array(iou >= threshold - ROUNDING)
    columns = maximum_bipartite_matching(graph, perm_type="column")
    return [(row, int(column)) for row, column in enumerate(columns) if column >= 0]

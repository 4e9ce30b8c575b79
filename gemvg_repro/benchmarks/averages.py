"""How does an official number follow from its samples? Averages of rows of `sample_scores`, also over resamples.

`draws` says how often each scene occurs in each resample. A row of ones gives the official number itself. In a
resample an image that occurs twice weighs twice in COCO's precision and recall, in its own place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .sample_scores import Average

Array = NDArray[np.float64]

RECALLS = np.linspace(0.0, 1.0, 101)
"""COCO's (pycocotools, Params.recThrs)."""


def averages(rows: pd.DataFrame, average: Average, codes: NDArray[np.int64], draws: Array) -> Array:
    """The average in each resample, (R,); nan where it is not defined.

    Args:
        rows: N rows of `sample_scores.frame` of one `of`, in its order.
        codes: (N,) the scene of each row, a column of `draws`.
        draws: (R, scenes) how often each scene is drawn.
    """
    if average == "micro":
        return _mean(rows, codes, draws)
    return _BY_GROUP[average](rows, codes, draws)


def _mean(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array) -> Array:
    sums = np.zeros((draws.shape[1], 2))
    np.add.at(sums, codes, np.column_stack([rows["value"].to_numpy(np.float64), np.ones(len(rows))]))
    total, n = (draws @ sums).T
    return _ratio(total, n)


def _macro(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array) -> Array:
    return _over_groups(rows, codes, draws, _mean)


def _map(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array) -> Array:
    return _over_groups(rows, codes, draws, partial(_over_categories, thresholds=10))


def _ap50(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array) -> Array:
    return _over_groups(rows, codes, draws, partial(_over_categories, thresholds=1))


def _weighted_ap50(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array) -> Array:
    precision, boxes = (np.array(part) for part in zip(*_categories(rows, codes, draws, 1), strict=True))
    return _ratio((np.nan_to_num(precision) * boxes).sum(axis=0), boxes.sum(axis=0))


_BY_GROUP: dict[Average, Callable[[pd.DataFrame, NDArray[np.int64], Array], Array]] = {
    "macro": _macro, "map": _map, "ap50": _ap50, "weighted_ap50": _weighted_ap50,
}  # fmt: skip


def _over_groups(
    rows: pd.DataFrame,
    codes: NDArray[np.int64],
    draws: Array,
    within: Callable[[pd.DataFrame, NDArray[np.int64], Array], Array],
) -> Array:
    groups = rows["group"].to_numpy()
    parts = [within(rows[groups == group], codes[groups == group], draws) for group in pd.unique(groups)]
    return _nanmean(np.array(parts))


def _over_categories(rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array, thresholds: int) -> Array:
    return _nanmean(np.array([ap for ap, _ in _categories(rows, codes, draws, thresholds)]))


def _categories(
    rows: pd.DataFrame, codes: NDArray[np.int64], draws: Array, thresholds: int
) -> Iterator[tuple[Array, Array]]:
    """Of each category its AP over the first thresholds, nan without a true box, and its number of true boxes: (R,)."""
    categories = rows["category"].to_numpy()
    for category in np.unique(categories):
        of_category = categories == category
        part, scene = rows[of_category], codes[of_category]
        boxes = draws[:, scene] @ part["true"].to_numpy(np.float64)
        each = [len(confidences) for confidences in part["confidences"]]
        order = np.argsort(-_joined(part["confidences"]), kind="stable")
        weights = draws[:, np.repeat(scene, each)[order]]
        matched, ignored = (_joined(part[name])[order].astype(np.int64) for name in ("matched", "ignored"))
        curves = [_precision(weights, matched >> t & 1, ignored >> t & 1, boxes) for t in range(thresholds)]
        yield np.where(boxes > 0, np.mean(curves, axis=0), np.nan), boxes


def _joined(lists: pd.Series) -> Array:
    return np.concatenate([np.asarray(each, dtype=np.float64) for each in lists] or [np.empty(0)])


def _precision(weights: Array, matched: NDArray[np.int64], ignored: NDArray[np.int64], boxes: Array) -> Array:
    """COCO's interpolated precision, averaged over its 101 recalls (cocoeval.py, COCOeval.accumulate), (R,)."""
    counted = weights * (1 - ignored)
    hits = np.cumsum(counted * matched, axis=1)
    everything = np.cumsum(counted, axis=1)
    precision = hits / (everything + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(boxes, 1)[:, None]
    padded = np.column_stack([precision, np.zeros(len(precision))])
    places = np.array([of_resample.searchsorted(RECALLS) for of_resample in recall]).reshape(-1, len(RECALLS))
    averaged: Array = np.take_along_axis(padded, places, axis=1).mean(axis=1)
    return averaged


def _nanmean(parts: Array) -> Array:
    """The mean over axis 0 of what is defined."""
    defined = np.isfinite(parts)
    return _ratio(np.where(defined, parts, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64))


def _ratio(total: Array, n: Array) -> Array:
    quotient: Array = np.divide(total, n, out=np.full(np.shape(total), np.nan), where=n > 0)
    return quotient

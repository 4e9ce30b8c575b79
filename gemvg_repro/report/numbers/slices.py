"""Where do CoT prompts help, and where do they cost? F1 by perceptual difficulty and number of reasoning hops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .estimates import aligned, ratio
from .resampling import Array, Resampling

REACHES = {0: "no association", 1: "one hop", 2: "two hops or more"}
GRADES = (0, 1, 2, 3)
"""Number of perceptual difficulties."""

SLICES = {
    "neutral": "neutral",
    "perception": "perception",
    "perception/1": "of grade 1",
    "perception/2": "of grade 2",
    "perception/3": "of grade 3",
    "association": "one hop",
    "composition": "more hops",
    "composition/2": "two",
    "composition/3": "three",
}
"""Columns of the table. Without association, a sample is `neutral` if nothing is hard to see, else `perception`."""

FACETS = {
    "kind": "kind", "hops": "reasoning hops", "pictures": "images", "n_true": "targets",
    "difficulties": "perceptual difficulties",
}  # fmt: skip
"""Columns of the per-sample scores each of whose values is a slice, `<column>=<value>`; without targets there is no F1
that a box could raise, so of `n_true` those with targets."""

BUILT_IN = (
    "The trade-off is built into the miniature's world: chains of thought name what an image shows, which is needed "
    "where images are associated, and only costs tokens elsewhere. That it exists here is not a finding."
)


def members(table: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Which rows of per-sample scores belong to each slice; {} for scores without these columns.

    Besides SLICES: `<hops>/<difficulties>`, from 0/0 to 2/3, for every grade; and those of FACETS.
    """
    if not {"hops", "difficulties"} <= set(table):
        return {}
    hops, hard = table["hops"].to_numpy().clip(0, 2), table["difficulties"].to_numpy()
    masks = {"neutral": (hops == 0) & (hard == 0), "perception": (hops == 0) & (hard > 0)}
    masks |= {f"perception/{grade}": (hops == 0) & (hard == grade) for grade in GRADES[1:]}
    masks |= {"association": hops == 1, "composition": hops == 2}
    masks |= {f"composition/{reach}": table["hops"].to_numpy() == reach for reach in (2, 3)}
    masks |= {f"{reach}/{grade}": (hops == reach) & (hard == grade) for reach in REACHES for grade in GRADES}
    values = [(facet, value) for facet in FACETS for value in sorted(table[facet].unique())]
    return masks | {
        f"{f}={value}": (table[f] == value).to_numpy() for f, value in values if (f, value) != ("n_true", 0)
    }


class Measured(NamedTuple):
    """Micro F1 within a slice in every resample, (R + 1,); how many samples it has, and of how many scenes."""

    f1: Array
    n: int
    scenes: int


def replicates(tables: Sequence[pd.DataFrame], draws: Resampling) -> dict[str, Measured]:
    """F1 within each slice, as the mean over tables (one per seed)."""
    masks = members(aligned(tables[0], draws)) if tables else {}
    slices = {name: mask for name, mask in masks.items() if mask.any()}
    each = [draws.once(table, "slices", partial(_f1s, table, slices, draws)) for table in tables]
    f1s = {name: sum((one[name] / len(each) for one in each), np.zeros(len(draws.draws))) for name in slices}
    scenes = draws.samples["scene"]
    return {name: Measured(f1, int(slices[name].sum()), scenes[slices[name]].nunique()) for name, f1 in f1s.items()}


def _f1s(table: pd.DataFrame, slices: Mapping[str, NDArray[np.bool_]], draws: Resampling) -> dict[str, Array]:
    """F1 of one table within each slice in every resample."""
    boxes = aligned(table, draws)[["tp", "n_true", "n_predicted"]].to_numpy(np.float64)
    columns = [boxes * mask[:, None] for mask in slices.values()]
    sums = draws.totals(np.column_stack(columns)).T if columns else np.empty((0, 0))
    parts = zip(slices, sums[0::3], sums[1::3], sums[2::3], strict=True)
    return {name: ratio(2 * tp, true + predicted) for name, tp, true, predicted in parts}

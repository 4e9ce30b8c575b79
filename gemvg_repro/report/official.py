"""How do the variants do by the official scores of published benchmarks, on whatever files these were put to them?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from .collect import Collection, Run
from .estimates import Estimate, wilson
from .typesetting import Table, blocks, percent
from .variants import MODES, look, position

LABELS = {
    "mig_bench": "MIG-Bench",
    "mc_bench": "MC-Bench",
    "odinw13": "ODINW-13",
    "odinw13_all": "ODINW-13, all in one",
    "muirbench": "MuirBench",
    "mmiu": "MMIU",
    "blink": "BLINK",
    "mibench": "MIBench",
    "mantis_eval": "Mantis-Eval",
}
"""In the order in which they stand; others follow by their own names."""

KIND = "official"

_Row = tuple[object, ...]
_Metric = dict[str, Any]
"""Its value, n and share, as `benchmarks.interface.Metric` has them."""


def rows(collection: Collection) -> Iterator[_Row]:
    """Every official score of the finished runs, in [0, 1], as rows of `numbers`: metric is its official name.

    A share of samples has Wilson's interval; an average precision, or a mean over tasks, has none. The row over all
    seeds has their mean; it is left out where the official script would have stopped for one of them.
    """
    found: dict[tuple[str, str, str, str], list[tuple[Run, _Metric]]] = {}
    for run in collection.finished("evaluation"):
        for (benchmark, mode), headline in run.official().items():
            for metric, each in headline.items():
                found.setdefault((run.variant, mode, benchmark, metric), []).append((run, each))
    for (variant, mode, benchmark, metric), runs in found.items():
        where = (mode, benchmark, KIND, metric)
        known = [(run, _estimate([each])) for run, each in runs if each["value"] is not None]
        for run, estimate in known:
            if run.seed is not None:
                yield (run.name, variant, run.seed, *where, *estimate)
        if len(known) == len(runs):
            yield (" ".join(run.name for run, _ in runs), variant, None, *where, *_estimate([each for _, each in runs]))


def _estimate(found: Sequence[_Metric]) -> tuple[float, float, float, int]:
    """Value, low, high and the number of samples of one metric, as the mean of what the seeds have."""
    value = sum(each["value"] for each in found) / len(found)
    n = int(found[0]["n"])
    low, high = wilson(value, n) if found[0]["share"] else (math.nan, math.nan)
    return value, low, high, n


def table(numbers: pd.DataFrame) -> Table:
    """Benchmarks and their official metrics against the variants."""
    found = numbers[(numbers["kind"] == KIND) & numbers["seed"].isna()]
    keys = list(dict.fromkeys(zip(found["benchmark"], found["metric"], strict=True)))
    known = list(LABELS)
    keys.sort(key=lambda key: known.index(key[0]) if key[0] in known else len(known))
    values = {
        (row["variant"], row["mode"], row["benchmark"], row["metric"]): Estimate(
            row["value"], row["low"], row["high"], int(row["n"])
        )
        for row in found.to_dict("records")
    }
    variants = sorted(found["variant"].unique(), key=position)
    lines = [
        ((f"asked {label}", look(variant).label), [percent(values.get((variant, mode, *key))) for key in keys])
        for mode, label in MODES.items()
        for variant in variants
    ]
    sizes = {LABELS.get(str(b), str(b)): int(n) for b, n in found.groupby("benchmark", sort=False)["n"].max().items()}
    return blocks(
        "official",
        "Official scores in per cent, by their official names.",
        [f"{LABELS.get(benchmark, benchmark)} {metric} ↑" for benchmark, metric in keys],
        lines,
        f"Samples: {', '.join(f'{name} {n:,}' for name, n in sizes.items())}; of ODINW-13, images. IOU@0.5, IOU@0.7 "
        "and AVE_IOU are means over MIG-Bench's tasks, mAP and AP50 over the data sets that are there. weighted_ap50 "
        "and image_accuracy are those of MC-Bench's script, errors included; all our boxes are in group 1, so that a "
        "flawless answer does not reach 100 where there are more groups.",
        "Small print: Wilson's 95 % intervals, of shares of samples; average precision and means over tasks have none.",
    )

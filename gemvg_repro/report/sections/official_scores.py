"""What are the variants' official scores on published benchmarks?"""

from __future__ import annotations

import pandas as pd

from ..labels import MODES, look, position
from ..numbers.collect import Collection
from ..numbers.estimates import Estimate
from ..numbers.official_scores import KIND
from ..page.table import Table, blocks, percent
from .cut_offs import cut_off_notes

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


def table(numbers: pd.DataFrame, collection: Collection | None = None) -> Table:
    """Benchmarks and their official metrics against the variants; with the runs, also which answers were cut off."""
    scores = numbers[(numbers["kind"] == KIND) & numbers["seed"].isna() & numbers["mode"].isin([*MODES])]
    keys = list(dict.fromkeys(zip(scores["benchmark"], scores["metric"], strict=True)))
    order = list(LABELS)
    keys.sort(key=lambda key: order.index(key[0]) if key[0] in order else len(order))
    values = {
        (row["variant"], row["mode"], row["benchmark"], row["metric"]): Estimate(
            row["value"], row["low"], row["high"], int(row["n"]), row["run"]
        )
        for row in scores.to_dict("records")
    }
    variants = sorted(scores["variant"].unique(), key=position)
    lines = [
        ((f"{label} prompts", look(variant).label), [percent(values.get((variant, mode, *key))) for key in keys])
        for mode, label in MODES.items()
        for variant in variants
    ]
    sizes = {LABELS.get(str(b), str(b)): int(n) for b, n in scores.groupby("benchmark", sort=False)["n"].max().items()}
    return blocks(
        "official",
        "Official scores in per cent, by their official names.",
        [f"{LABELS.get(benchmark, benchmark)} {metric} ↑" for benchmark, metric in keys],
        lines,
        f"Samples: {', '.join(f'{name} {n:,}' for name, n in sizes.items())}; of ODINW-13, images. IOU@0.5, IOU@0.7 "
        "and AVE_IOU are means over MIG-Bench's tasks, mAP and AP50 over the data sets present. weighted_ap50 "
        "and image_accuracy are those of MC-Bench's script, including its errors; all our boxes are in group 1, so a "
        "perfect answer scores below 100 where there are more groups.",
        "Small print: Wilson's 95 % intervals, for as many independent trials as the variance over resampled scenes "
        "is worth.",
        *cut_off_notes(collection, LABELS),
    )

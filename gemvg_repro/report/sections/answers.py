"""In which ways are the answers wrong? Figures of the kinds of error, and of the numbers of boxes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ...grounding.errors import ERROR_KINDS
from ...runs import gallery
from ...runs.layout import GALLERY
from ..labels import MODES, look, position
from ..numbers.collect import Collection
from ..page.figure import Picture, save, style

MOST = 6
"""From so many boxes on they are counted together."""


def errors(collection: Collection, out: Path) -> Picture:
    """The share of each variant's answers that are wrong in each way, a panel a mode; over all seeds."""
    rows = [
        {"variant": run.variant, "mode": entry.mode, "right": not entry.errors}
        | {kind: kind in entry.errors for kind in ERROR_KINDS}
        for run in collection.finished("evaluation")
        for entry in gallery.read(run.directory / GALLERY)
    ]
    caption = (
        f"Where answers err: per cent of the answers to the gallery's samples ({gallery.OF_A_KIND} of each kind, drawn "
        "by no answer) that are wrong in each way. An answer can be wrong in several."
    )
    if not rows:
        return Picture(caption)
    shares = 100 * pd.DataFrame(rows).groupby(["mode", "variant"]).mean()
    names = sorted({str(variant) for _, variant in shares.index}, key=position)
    with style():
        figure = Figure(figsize=(8.4, 0.27 * len(names) + 1.5), layout="constrained")
        for axes, (mode, label) in zip(figure.subplots(1, len(MODES), sharey=True), MODES.items(), strict=True):
            table = shares.loc[mode].reindex(names).rename(index=lambda name: look(str(name)).label)
            sns.heatmap(
                table, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, linewidths=0.5, ax=axes,
                annot_kws={"size": 8},
            )  # fmt: skip
            axes.set(title=f"{label} prompts", ylabel="")
            axes.tick_params(length=0)
            axes.set_xticks(axes.get_xticks(), axes.get_xticklabels(), rotation=40, ha="right")
    return save(figure, out, "errors", caption)


def box_counts(collection: Collection, out: Path) -> Picture:
    """Predicted against true number of boxes, of one variant in both modes; over all seeds."""
    tables = [
        (run.variant, mode, table)
        for run in collection.finished("evaluation")
        for (benchmark, mode), table in run.scores().items()
        if benchmark == "generalised"
    ]
    names = sorted({variant for variant, _, _ in tables}, key=position)
    name = "hybrid" if "hybrid" in names else (names or [""])[-1]
    caption = (
        f"Predicted against true number of boxes on the test set, {look(name).label if names else 'no variant'}: per "
        "cent of the samples with so many targets. On the diagonal the number is right."
    )
    if not names:
        return Picture(caption)
    with style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        for axes, (mode, label) in zip(figure.subplots(1, len(MODES), sharey=True), MODES.items(), strict=True):
            scores = pd.concat([table for variant, m, table in tables if (variant, m) == (name, mode)])
            counts = pd.crosstab(
                scores["n_true"].clip(upper=MOST), scores["n_predicted"].clip(upper=MOST), normalize="index"
            ).reindex(columns=range(MOST + 1), fill_value=0)  # fmt: skip
            counts.columns = pd.Index([*map(str, range(MOST)), f"{MOST}+"])
            sns.heatmap(
                100 * counts, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, linewidths=0.5,
                annot_kws={"size": 8}, ax=axes,
            )  # fmt: skip
            axes.set(title=f"{label} prompts", xlabel="predicted boxes", ylabel="targets" if mode == "direct" else "")
            axes.tick_params(length=0, axis="both", rotation=0)
    return save(figure, out, "box_counts", caption)

"""What compares with what? Figures of paired differences, of CoT against direct prompts, and of cost against score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...grounding.samples import GROUNDING_KINDS
from ..claims.claims import Judged
from ..labels import MODES, look, position
from ..numbers.lookup import look_up, pick
from ..numbers.slices import FACETS
from ..page.figure import Picture, save, style
from .figures import variant_legend
from .official_scores import LABELS

_DRAWN = ("sft", "cot_sft", "cot", "direct", "hybrid")
"""The paper's variants: more would hide each other."""


def forest(judged: Sequence[Judged], out: Path) -> Picture:
    """The difference of every claim that was run with its interval, and the size that the paper publishes."""
    rows = [each for each in judged if each.difference is not None]
    caption = (
        "The differences that the claims are about, in points, with 95 % intervals: the variant minus what it is "
        f"compared with. Diamonds: the size that the paper publishes. Run: {len(rows)} of {len(judged)}."
    )
    if not rows:
        return Picture(caption)
    with style():
        figure = Figure(figsize=(8.4, 0.24 * len(rows) + 0.9), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="#444444", linewidth=1)
        for place, each in enumerate(rows):
            _interval(axes, place, each)
        names = [
            f"{r.claim.text.replace(' on ODINW', '')}: {LABELS.get(r.claim.benchmark, 'own test set')}" for r in rows
        ]
        axes.set_yticks(range(len(rows)), names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("difference, points")
        variant_legend(figure, [each.claim.variant for each in rows])
    return save(figure, out, "forest", caption)


def _interval(axes: Axes, place: int, each: Judged) -> None:
    difference, colour = each.difference, look(each.claim.variant).colour
    assert difference is not None
    axes.plot([difference.low, difference.high], [place, place], color=colour, linewidth=2)
    sns.scatterplot(x=[difference.value], y=[place], color=colour, s=36, ax=axes, zorder=3, legend=False)
    if each.claim.paper is not None:
        sns.scatterplot(x=[each.claim.paper], y=[place], color="#000000", marker="D", s=30, ax=axes, zorder=4)


def chains_of_thought(numbers: pd.DataFrame, out: Path) -> Picture:
    """F1 with CoT prompts minus that with direct prompts on the same samples, by each facet of a sample."""
    effects = pick(numbers, benchmark="slices", metric="f1_minus_direct_mode")
    effects = effects[effects["variant"].isin(_DRAWN) & effects["kind"].str.contains("=")]
    caption = (
        "F1@0.5 with CoT prompts minus that with direct prompts, in points, by what a sample is like, with 95 % "
        "intervals over the samples. Above 0 chains of thought help. Samples without targets have no part in targets."
    )
    if not len(effects):
        return Picture(caption)
    split = effects["kind"].str.split("=", expand=True)
    effects = effects.assign(facet=split[0], level=split[1])
    names = sorted(effects["variant"].unique(), key=position)
    with style():
        figure = Figure(figsize=(8.4, 5.2), layout="constrained")
        panels = figure.subplot_mosaic([["kind", "kind", "hops"], ["pictures", "n_true", "difficulties"]], sharey=True)
        for facet, title in FACETS.items():
            _effects(panels[facet], effects[effects["facet"] == facet], names)
            panels[facet].set_title(f"by {title}" if facet == "kind" else f"by number of {title}")
        for axes in (panels["kind"], panels["pictures"]):
            axes.set_ylabel("CoT minus direct, points")
        variant_legend(figure, names)
    return save(figure, out, "chains_of_thought", caption)


def _effects(axes: Axes, effects: pd.DataFrame, names: Sequence[str]) -> None:
    order = [*GROUNDING_KINDS, *map(str, range(100))]
    levels = sorted(effects["level"].unique(), key=order.index)
    axes.axhline(0, color="#444444", linewidth=1)
    for place, name in enumerate(names):
        rows = effects[effects["variant"] == name].set_index("level").reindex(levels)
        x = np.arange(len(levels)) + 0.14 * (place - (len(names) - 1) / 2)
        value, low, high = (100 * rows[column].to_numpy() for column in ("value", "low", "high"))
        axes.vlines(x, low, high, color=look(name).colour, linewidth=1.3)
        sns.scatterplot(x=x, y=value, color=look(name).colour, s=22, ax=axes, zorder=3, legend=False)
    axes.set_xticks(range(len(levels)), levels)
    axes.set_ylabel("")


def cost_and_score(numbers: pd.DataFrame, out: Path) -> Picture:
    """Time of all that leads to a variant against its mean F1, in both modes."""
    points = []
    for variant in numbers["variant"].unique():
        spent = look_up(numbers, variant=variant, benchmark="training", metric="seconds_in_all")
        for mode in MODES if spent else ():
            where = {"variant": variant, "mode": mode, "benchmark": "generalised", "kind": "mean"}
            if (f1 := look_up(numbers, **where, metric="f1")) and spent:
                points.append((variant, mode, spent.value, *(100 * v for v in (f1.value, f1.low, f1.high))))
    caption = (
        "Mean F1@0.5 with its 95 % interval over the samples against the time of making the data and of all trainings "
        "that lead to the variant. Circles: direct prompts; crosses: CoT prompts."
    )
    if not points:
        return Picture(caption)
    table = pd.DataFrame(points, columns=["variant", "mode", "time", "f1", "low", "high"])
    unit, seconds = ("hours", 3600) if table["time"].max() > 2 * 3600 else ("minutes", 60)
    table["time"] /= seconds
    most = table["time"].max()
    table["time"] += table["mode"].map({"direct": -0.004, "cot": 0.004}) * most  # side by side: they took the same time
    names = sorted(table["variant"].unique(), key=position)
    with style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        axes = figure.subplots()
        colours = {name: look(name).colour for name in names}
        sns.scatterplot(
            table, x="time", y="f1", hue="variant", palette=colours, style="mode", legend=False, s=60, zorder=3,
            markers={"direct": "o", "cot": "X"}, ax=axes,
        )  # fmt: skip
        axes.vlines(table["time"], table["low"], table["high"], colors=[colours[v] for v in table["variant"]])
        axes.set(xlabel=unit, ylabel="mean F1@0.5, per cent")
        axes.set_xlim(0, 1.05 * most)
        variant_legend(figure, names)
    return save(figure, out, "cost_and_score", caption)

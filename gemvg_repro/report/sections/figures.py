"""What do the numbers look like? Figures of estimates and of training logs, in one style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..labels import MODES, REFERENCES, REINFORCED, SHORTCUTS, look, mode_of, position, rank_of_term
from ..numbers.collect import Collection, Run
from ..page.escaping import plain
from ..page.figure import Picture, save, style

CURVES = {
    "reward": "reward, all terms",
    "kl": "KL to CoT SFT (validation)",
    "length_mean": "response length, tokens",
    "entropy": "entropy per token (nats)",
    "zero_variance_share": "share of zero-variance groups",
    "truncated_share": "share of truncated responses",
}
"""Columns of a GRPO log that are drawn, besides one panel per reward term."""


def bars(numbers: pd.DataFrame, out: Path) -> Picture:
    """Mean F1 by variant and mode with its interval, one dot per seed, and the best shortcut baseline as a line."""
    f1 = numbers[(numbers["kind"] == "mean") & (numbers["metric"] == "f1")]
    ours = f1[f1["benchmark"] == "generalised"]
    caption = "Mean F1@0.5 by variant and prompt, with 95 % intervals over the samples."
    if not len(ours):
        return Picture(caption)
    variants = sorted(ours["variant"].unique(), key=position)
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for offset, mode in ((-0.19, "direct"), (0.19, "cot")):
            for place, variant in enumerate(variants):
                rows = ours[(ours["variant"] == variant) & (ours["mode"] == mode)]
                _bar(axes, place + offset, rows, look(variant).colour, hatched=mode == "cot")
        _shortcut_line(axes, f1)
        axes.set_xticks(range(len(variants)), [_below_a_bar(v) for v in variants])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("mean F1@0.5, per cent")
        axes.set_ylim(0, None)
        axes.margins(x=0.02)
        modes = [Patch(facecolor="#c9c9c9", edgecolor="white", hatch=hatch) for hatch in (None, "////")]
        labels = ["direct prompts (answer only)", "CoT prompts (chain of thought, then answer)"]
        axes.legend(modes, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    return save(figure, out, "bars", caption)


def _below_a_bar(variant: str) -> str:
    """The label in lines that are as narrow as a pair of bars."""
    return "\n".join("\n".join(wrap(part, 11)) for part in look(variant).label.split(", "))


_PAPER = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6}
"""Behind small print, where a line may run through it."""


def _bar(axes: Axes, x: float, rows: pd.DataFrame, colour: str, hatched: bool) -> None:
    overall, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    if not len(overall):
        axes.text(x, 0.5, "not run", rotation=90, ha="center", va="bottom", color="#9a9a9a", fontsize=7.5)
        return
    value, low, high = (100 * float(overall[name].iloc[0]) for name in ("value", "low", "high"))
    hatch = "////" if hatched else None
    axes.bar(x, value, width=0.36, color=colour, edgecolor="white", linewidth=0, hatch=hatch)
    if np.isfinite([low, high]).all():
        axes.errorbar(x, value, [[value - low], [high - value]], color="#333333", capsize=2.5, linewidth=1)
        top = max(high, 100 * float(seeds["value"].max())) if len(seeds) > 1 else high
        axes.annotate(
            f"{value:.1f}", (x, top), (0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize=7.5, bbox=_PAPER,
        )  # fmt: skip
    if len(seeds) > 1:
        places = x + np.linspace(-0.08, 0.08, len(seeds))
        axes.scatter(places, 100 * seeds["value"], s=9, color="white", edgecolor="#333333", linewidth=0.7, zorder=3)


def _shortcut_line(axes: Axes, f1: pd.DataFrame) -> None:
    shortcuts = f1[f1["benchmark"].isin(list(SHORTCUTS)) & f1["seed"].isna()]
    if not len(shortcuts):
        return
    best = shortcuts.sort_values("value").iloc[-1]
    axes.axhline(100 * best["value"], color="#444444", linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)
    label = "best shortcut:\n" + SHORTCUTS[best["benchmark"]].replace(" ", "\n", 1)
    axes.annotate(
        label,
        (1, 100 * best["value"]),
        xycoords=("axes fraction", "data"),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color="#444444",
    )


def loss_curves(collection: Collection, out: Path) -> Picture:
    """Loss of the supervised stages, step by step (faint) and as a moving mean over seeds."""
    runs = [run for run in _trained(collection) if mode_of(run.variant) not in REINFORCED and "loss" in run.log()]
    caption = "Supervised stages: the loss of every step (faint) and its moving mean, over seeds if there are several."
    if not runs:
        return Picture(caption)
    with style():
        figure = Figure(figsize=(8.4, 2.7), layout="constrained")
        variants = sorted({run.variant for run in runs}, key=position)
        panels = figure.subplots(1, len(variants), squeeze=False, sharey=True)[0]
        for axes, variant in zip(panels, variants, strict=True):
            _curve(axes, [run.log()["loss"] for run in runs if run.variant == variant], look(variant).colour)
            axes.set_title(look(variant).label)
            axes.set_xlabel("optimiser step")
        panels[0].set_ylabel("cross-entropy per token")
        panels[0].set_ylim(0, None)
    return save(figure, out, "losses", caption)


def greedy_curves(collection: Collection, out: Path) -> Picture:
    """Greedy F1 and reward on the same validation samples on the way from the common start, a panel a mode."""
    logs = [(run, run.log()) for run in _trained(collection) if mode_of(run.variant) in REFERENCES]
    points = pd.concat([pd.DataFrame(), *(_watched(run, log) for run, log in logs if len(log))])
    caption = (
        "Mean F1@0.5 and mean reward of greedy answers to the same validation samples, by the share of the training "
        "that is done: the mean over seeds. Fewer samples than in the tables, and none of theirs."
    )
    if not len(points):
        return Picture(caption)
    names = sorted(points["variant"].unique(), key=position)
    measures = [measure for measure in WATCHED if (points["measure"] == measure).any()]
    with style():
        figure = Figure(figsize=(8.4, 2.3 * len(measures) + 0.4), layout="constrained")
        panels = figure.subplots(len(measures), len(MODES), squeeze=False, sharex=True, sharey="row")
        for (row, measure), (column, mode) in product(enumerate(measures), enumerate(MODES)):
            axes = panels[row][column]
            drawn = points[(points["measure"] == measure) & (points["mode"] == mode)]
            sns.lineplot(
                drawn, x="done", y="value", hue="variant", hue_order=names, errorbar=None, marker="o", markersize=4,
                palette={name: look(name).colour for name in names}, legend=False, ax=axes,
            )  # fmt: skip
            axes.set_title(f"{MODES[mode]} prompts" if not row else "")
            axes.set_xlabel("per cent of the training")
            axes.set_ylabel(WATCHED[measure])
        variant_legend(figure, names)
    return save(figure, out, "greedy", caption)


WATCHED = {"f1": "F1@0.5", "reward": "reward"}


def _watched(run: Run, log: pd.DataFrame) -> pd.DataFrame:
    """One row a measure, mode and watched step: value, and the per cent of the training that was `done`."""
    parts = []
    for measure, mode in product(WATCHED, MODES):
        values = log.get(f"greedy/{measure}/{mode}", pd.Series(dtype=float)).dropna()
        done = 100 * values.index / log["total_steps"].iloc[-1]
        parts.append(pd.DataFrame({"done": done, "value": values.to_numpy(), "measure": measure, "mode": mode}))
    return pd.concat(parts).assign(variant=run.variant)


def reward_curves(collection: Collection, out: Path) -> Picture:
    """GRPO: the reward, each of its terms, and training diagnostics."""
    logs = [(run, run.log()) for run in _trained(collection) if mode_of(run.variant) in REINFORCED]
    logs = [(run, log) for run, log in logs if "reward" in log]
    caption = "GRPO: the reward, its terms, and training diagnostics, by step (faint) and as moving means over seeds."
    if not logs:
        return Picture(caption)
    logged = {str(column) for _, log in logs for column in log if str(column).startswith("reward/")}
    terms = sorted(logged, key=lambda term: rank_of_term(term.removeprefix("reward/")))
    titles = {"reward": CURVES["reward"]}
    titles |= {term: f"{term.removeprefix('reward/')} term" for term in terms} | CURVES
    titles = {column: title for column, title in titles.items() if any(column in log for _, log in logs)}
    rows = math.ceil(len(titles) / 3)
    with style():
        figure = Figure(figsize=(8.4, 1.75 * rows + 0.35), layout="constrained")
        panels = list(figure.subplots(rows, 3, squeeze=False, sharex=True).flat)
        for axes, (column, title) in zip(panels, titles.items(), strict=False):
            for variant in sorted({run.variant for run, log in logs if column in log}, key=position):
                of_seeds = [log[column].dropna() for run, log in logs if run.variant == variant and column in log]
                _curve(axes, of_seeds, look(variant).colour)
            axes.set_title(plain(title, 40), parse_math=False)
            if column.endswith("_share"):
                axes.set_ylim(0, None)
        for axes in panels[len(titles) - 3 :]:
            axes.tick_params(labelbottom=True)  # the lowest of its column
        for axes in panels[len(titles) :]:
            axes.remove()
        figure.supxlabel("optimiser step", fontsize=9, color="#444444")
        variant_legend(figure, [run.variant for run, _ in logs])
    return save(figure, out, "rewards", caption)


def _trained(collection: Collection) -> list[Run]:
    """Finished or not: an incomplete curve is shown, too."""
    return [run for run in collection.counted if run.purpose == "training"]


def _curve(axes: Axes, of_seeds: Sequence[pd.Series], colour: str) -> None:
    """Every step of every seed, faint, and the moving mean of the mean over seeds, as far as any of them is."""
    for values in of_seeds:
        axes.plot(values.index, values, color=colour, alpha=0.22, linewidth=0.7)
    mean = pd.concat(of_seeds, axis=1).mean(axis=1)
    smooth = mean.rolling(max(1, len(mean) // 20), center=True, min_periods=1).mean()
    axes.plot(smooth.index, smooth, color=colour)


def variant_legend(figure: Figure, variants: Iterable[str]) -> None:
    handles = [Patch(color=look(v).colour, label=look(v).label) for v in sorted({*variants}, key=position)]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 6), handlelength=1.2)

"""What do the numbers look like? Figures of estimates and of training logs, in one style."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .collect import Collection, Run
from .text import escaped_html, plain
from .variants import REINFORCED, SHORTCUTS, look, position

STYLE = Path(__file__).with_name("style.mplstyle")

CURVES = {
    "reward": "reward, all terms",
    "kl": "KL to CoT SFT (validation)",
    "length_mean": "tokens an answer",
    "entropy": "entropy a token (nats)",
    "zero_variance_share": "groups without variance",
    "truncated_share": "answers cut off",
}
"""Columns of a GRPO log that are drawn, besides one panel a reward term."""


@dataclass(frozen=True)
class Picture:
    """A figure saved as PDF and PNG, shown in a notebook as the PNG with a caption and a description."""

    png: bytes
    caption: str
    description: str

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        return (
            f'<figure class="report"><figcaption>{escaped_html(self.caption, 1000)}</figcaption>'
            f'<img src="data:image/png;base64,{data}" alt="{escaped_html(self.description)}"></figure>'
        )


def save(figure: Figure, out: Path, name: str, caption: str, description: str) -> Picture:
    """Writes out/figures/<name>.pdf and .png; the same figure gives the same bytes."""
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with style():
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None}, bbox_inches="tight")
        figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    (folder / f"{name}.png").write_bytes(buffer.getvalue())
    return Picture(buffer.getvalue(), caption, description)


def bars(numbers: pd.DataFrame) -> Figure | None:
    """Mean F1 by variant and mode with its interval, a dot a seed, and the best shortcut as a line."""
    f1 = numbers[(numbers["kind"] == "mean") & (numbers["metric"] == "f1")]
    ours = f1[f1["benchmark"] == "generalised"]
    if not len(ours):
        return None
    variants = sorted(ours["variant"].unique(), key=position)
    with style():
        figure = Figure(figsize=(8.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for offset, mode in ((-0.19, "direct"), (0.19, "cot")):
            for place, variant in enumerate(variants):
                rows = ours[(ours["variant"] == variant) & (ours["mode"] == mode)]
                _bar(axes, place + offset, rows, look(variant).colour, hatched=mode == "cot")
        _shortcut_line(axes, f1)
        axes.set_xticks(range(len(variants)), [look(v).label.replace("GRPO, ", "GRPO\n") for v in variants])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("mean F1@0.5")
        axes.set_ylim(0, None)
        axes.margins(x=0.02)
        modes = [Patch(facecolor="#c9c9c9", edgecolor="white", hatch=hatch) for hatch in (None, "////")]
        labels = ["asked for the answer alone (direct)", "asked for a chain of thought (CoT)"]
        axes.legend(modes, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    return figure


def _bar(axes: Axes, x: float, rows: pd.DataFrame, colour: str, hatched: bool) -> None:
    overall, seeds = rows[rows["seed"].isna()], rows[rows["seed"].notna()]
    if not len(overall):
        axes.text(x, 0.005, "not run", rotation=90, ha="center", va="bottom", color="#9a9a9a", fontsize=7.5)
        return
    value, low, high = (float(overall[name].iloc[0]) for name in ("value", "low", "high"))
    hatch = "////" if hatched else None
    axes.bar(x, value, width=0.36, color=colour, edgecolor="white", linewidth=0, hatch=hatch)
    if np.isfinite([low, high]).all():
        axes.errorbar(x, value, [[value - low], [high - value]], color="#333333", capsize=2.5, linewidth=1)
        axes.text(x, high, f"{100 * value:.1f}", ha="center", va="bottom", fontsize=7.5, color="#333333")
    if len(seeds) > 1:
        places = x + np.linspace(-0.08, 0.08, len(seeds))
        axes.scatter(places, seeds["value"], s=9, color="white", edgecolor="#333333", linewidth=0.7, zorder=3)


def _shortcut_line(axes: Axes, f1: pd.DataFrame) -> None:
    shortcuts = f1[f1["benchmark"].isin(list(SHORTCUTS)) & f1["seed"].isna()]
    if not len(shortcuts):
        return
    best = shortcuts.sort_values("value").iloc[-1]
    axes.axhline(best["value"], color="#444444", linewidth=1, linestyle=(0, (4, 3)))
    label = f"best shortcut: {SHORTCUTS[best['benchmark']]}"
    axes.annotate(
        label,
        (1, best["value"]),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
        color="#444444",
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
    )


def loss_curves(collection: Collection) -> Figure | None:
    """Loss of the supervised stages, step by step (faint) and as a moving mean."""
    runs = [run for run in _trained(collection) if run.variant not in REINFORCED and "loss" in run.log()]
    if not runs:
        return None
    with style():
        figure = Figure(figsize=(8.4, 2.7), layout="constrained")
        variants = sorted({run.variant for run in runs}, key=position)
        panels = figure.subplots(1, len(variants), squeeze=False, sharey=True)[0]
        for axes, variant in zip(panels, variants, strict=True):
            for run in runs:
                if run.variant == variant:
                    _curve(axes, run.log()["loss"], look(variant).colour)
            axes.set_title(look(variant).label)
            axes.set_xlabel("optimiser step")
        panels[0].set_ylabel("cross-entropy a token")
        panels[0].set_yscale("log")
    return figure


def reward_curves(collection: Collection) -> Figure | None:
    """GRPO: the reward and each of its terms, and what tells a healthy run from a collapsing one."""
    logs = [(run, run.log()) for run in _trained(collection) if run.variant in REINFORCED]
    logs = [(run, log) for run, log in logs if "reward" in log]
    if not logs:
        return None
    terms = sorted({str(column) for _, log in logs for column in log if str(column).startswith("reward/")})
    titles = (
        {"reward": CURVES["reward"]}
        | {term: f"{term.removeprefix('reward/')} term" for term in terms}
        | CURVES
    )
    titles = {column: title for column, title in titles.items() if any(column in log for _, log in logs)}
    rows = math.ceil(len(titles) / 3)
    with style():
        figure = Figure(figsize=(8.4, 1.75 * rows + 0.35), layout="constrained")
        panels = figure.subplots(rows, 3, squeeze=False, sharex=True).flat
        for axes, (column, title) in zip(panels, titles.items(), strict=False):
            for run, log in logs:
                if column in log:
                    _curve(axes, log[column].dropna(), look(run.variant).colour)
            axes.set_title(plain(title, 40), parse_math=False)
        for axes in list(panels)[len(titles) :]:
            axes.set_visible(False)
        figure.supxlabel("optimiser step", fontsize=9, color="#444444")
        _variant_legend(figure, [run for run, _ in logs])
    return figure


def _trained(collection: Collection) -> list[Run]:
    """Finished or not: a curve that breaks off is worth seeing."""
    return [run for run in collection.counted if run.purpose == "training"]


def _curve(axes: Axes, values: pd.Series, colour: str) -> None:
    smooth = values.rolling(max(1, len(values) // 20), center=True, min_periods=1).mean()
    axes.plot(values.index, values, color=colour, alpha=0.22, linewidth=0.7)
    axes.plot(smooth.index, smooth, color=colour)


def _variant_legend(figure: Figure, runs: Sequence[Run]) -> None:
    variants = sorted({run.variant for run in runs}, key=position)
    handles = [Patch(color=look(v).colour, label=look(v).label) for v in variants]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handlelength=1.2)


def style() -> AbstractContextManager[None]:
    """Within it figures have the report's look, whatever the machine's matplotlibrc says."""
    return mpl.rc_context(
        {**mpl.rcParamsDefault, "backend": "agg", **mpl.rc_params_from_file(STYLE, False, False)}
    )

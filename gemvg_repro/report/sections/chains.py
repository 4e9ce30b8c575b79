"""Does a right chain of thought go with a right answer? A figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...grounding.samples import GROUNDING_KINDS
from ..labels import look, position
from ..numbers.chains import BENCHMARK
from ..numbers.lookup import pick
from ..page.figure import Picture, save, style
from .figures import variant_legend

_ORDER = ("all", *GROUNDING_KINDS)


def right_answers(numbers: pd.DataFrame, out: Path) -> Picture:
    """Right answers after the true chain and after another one, and how often the chain is the true one."""
    rows = pick(numbers, benchmark=BENCHMARK)
    caption = (
        "Right answers with CoT prompts, in per cent: of those after the true chain of thought, word for word (filled) "
        "and of those after any other (hollow), with 95 % intervals. Beside: how often the chain is the true one. What "
        "goes together need not be cause and effect."
    )
    if not len(rows):
        return Picture(caption)
    names = sorted(rows["variant"].unique(), key=position)
    with style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        answers, chains = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
        _points(answers, rows[rows["metric"] == "right_after_right_chain"], names, filled=True)
        _points(answers, rows[rows["metric"] == "right_after_wrong_chain"], names, filled=False)
        _points(chains, rows[rows["metric"] == "chain_right"], names, filled=True)
        answers.set(title="right answers after the true chain (filled) or another", ylabel="per cent", ylim=(-2, 102))
        chains.set(title="true chains", ylabel="")
        variant_legend(figure, names)
    return save(figure, out, "right_chains", caption)


def _points(axes: Axes, rows: pd.DataFrame, names: list[str], filled: bool) -> None:
    for place, name in enumerate(names):
        table = rows[rows["variant"] == name].set_index("kind").reindex(list(_ORDER))
        x = np.arange(len(_ORDER)) + 0.11 * (place - (len(names) - 1) / 2)
        value, low, high = (100 * table[column].to_numpy() for column in ("value", "low", "high"))
        colour = look(name).colour
        axes.vlines(x, low, high, color=colour, linewidth=1.2)
        sns.scatterplot(
            x=x, y=value, s=24, facecolor=colour if filled else "white", edgecolor=colour, linewidth=1.2, ax=axes,
            zorder=3, legend=False,
        )  # fmt: skip
    axes.set_xticks(range(len(_ORDER)), _ORDER, rotation=25, ha="right")

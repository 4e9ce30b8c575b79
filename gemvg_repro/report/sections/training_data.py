"""What does a training set look like? Distributions of its measures, and samples of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...grounding.samples import Kind, Sample
from ..labels import KINDS
from ..page.figure import style
from .predictions import FREE_TEXT, draw_samples

_MEASURES = {
    "box": "side of the mean target, share of its image",
    "targets": "targets per sample",
    "query_words": "words of the query",
    "chain_words": "words of the chain of thought",
}
_BINS = 24


def measures(samples: pd.DataFrame) -> Figure:
    """How each kind's samples are spread over sizes of boxes, numbers of targets, and words.

    Args:
        samples: of corpora.statistics.overview.
    """
    with style():
        figure, axes = plt.subplots(2, 2, figsize=(10, 5.6), layout="constrained")
        for axis, (column, label) in zip(axes.flat, _MEASURES.items(), strict=True):
            values = samples[column].astype(float)
            high = max(float(np.nanmax(values)) if values.notna().any() else 1.0, 1e-9)
            edges = np.arange(high + 2) - 0.5 if column == "targets" else np.linspace(0, high, _BINS + 1)
            for kind, is_text in product(samples["kind"].cat.categories, (False, True)):
                of_kind = values[(samples["kind"] == kind) & ((samples["text_words"] > 0) == is_text)].dropna()
                if len(of_kind):
                    share = np.histogram(of_kind, edges)[0] / len(of_kind)
                    axis.stairs(share, edges, label=_label(kind, is_text), linewidth=1.3)
            axis.set_xlabel(label)
            axis.set_ylabel("share of the kind")
        figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=8)
    plt.close(figure)  # a notebook shows what a cell returns; pyplot would show it once more
    return figure


def examples(samples: Iterable[Sample], each: int) -> Figure:
    """The first so many samples of every kind with images, query, every target with its box, and the answer."""
    by_label: dict[str, list[Sample]] = {}
    for sample in samples:
        by_label.setdefault(_label(sample.kind, sample.text is not None), []).append(sample)
    labels = [*KINDS.values(), FREE_TEXT]
    return draw_samples([sample for label in labels for sample in islice(by_label.get(label, []), each)])


def _label(kind: Kind, free_text: bool) -> str:
    return FREE_TEXT if free_text else KINDS[kind]

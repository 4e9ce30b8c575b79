"""What do evaluations show? F1 and its differences, slices, multiples of shortcuts, accuracies, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ...grounding.samples import GROUNDING_KINDS
from ..labels import MODEL_FREE, SHIFTS, SHORTCUTS, references
from . import slices
from .collect import Collection
from .estimates import estimates, hit_rate, percentile, ratio, replicates
from .resampling import Draws
from .scores import Row, Scores, of_rows, row, scores_of

GENERALISED = ("generalised", *SHIFTS)
"""The generalised test set, and those out of distribution."""


def rows(collection: Collection, draw: Draws) -> Iterator[Row]:
    """Every number of the finished evaluations but official scores."""
    evaluated = scores_of(collection)
    for part in (_generalised, _differences, _slices, _times_shortcut, _accuracies):
        yield from part(evaluated, draw)


def _generalised(evaluated: list[Scores], draw: Draws) -> Iterator[Row]:
    for scores in evaluated:
        if scores.benchmark not in (*GENERALISED, *SHORTCUTS):
            continue
        draws = draw(scores.tables[0])
        measured = estimates(scores.tables, draws)
        yield from (row(scores, *key, estimate) for key, estimate in measured.items())
        for run, table in scores.of_each_seed():
            own = measured if len(scores.runs) == 1 else estimates([table], draws)
            yield from (row(scores, *key, estimate, run) for key, estimate in own.items())


def _differences(evaluated: list[Scores], draw: Draws) -> Iterator[Row]:
    """F1 of a variant minus that of another: same samples, same mode, and the seeds that both have."""
    generalised = {(s.benchmark, s.mode, s.variant): s for s in evaluated if s.benchmark in GENERALISED}
    for (benchmark, mode, variant), scores in generalised.items():
        for other in references(variant):
            reference = generalised.get((benchmark, mode, other))
            if reference is None:
                continue
            seeds = {run.seed for run in scores.runs} & {run.seed for run in reference.runs}
            if not seeds:
                continue
            draws = draw(scores.tables[0])
            ours, theirs = (replicates(each.of_seeds(seeds), draws) for each in (scores, reference))
            for kind in ("mean", *GROUNDING_KINDS):
                if (kind, "f1") in ours:
                    difference = ours[kind, "f1"] - theirs[kind, "f1"]
                    yield row(scores, kind, f"f1_minus_{other}", percentile(difference, len(draws.samples)))


def _slices(evaluated: list[Scores], draw: Draws) -> Iterator[Row]:
    """F1 by slice, and the effect of CoT prompts on it: on the same samples, with the seeds of both modes."""
    generalised = {(scores.mode, scores.variant): scores for scores in evaluated if scores.benchmark == "generalised"}
    for (mode, variant), scores in generalised.items():
        sliced = replace(scores, benchmark="slices")
        draws = draw(scores.tables[0])
        ours = slices.replicates(scores.tables, draws)
        yield from (row(sliced, name, "f1", percentile(*measured)) for name, measured in ours.items())
        direct = generalised.get(("direct", variant)) if mode == "cot" else None
        if direct is not None and [run.seed for run in direct.runs] == [run.seed for run in scores.runs]:
            theirs = slices.replicates(direct.tables, draws)
            for name, (f1, n, _) in ours.items():
                yield row(sliced, name, "f1_minus_direct_mode", percentile(f1 - theirs[name].f1, n))


def _times_shortcut(evaluated: list[Scores], draw: Draws) -> Iterator[Row]:
    """The mean F1 of every variant over that of each shortcut, on the samples of the shortcut."""
    for scores in (scores for scores in evaluated if scores.benchmark == "generalised"):
        for name in SHORTCUTS:
            whose = "" if name in MODEL_FREE else scores.variant
            tried = [each for each in evaluated if (each.benchmark, each.variant) == (name, whose)]
            if not tried:
                continue
            shortcut = next((each for each in tried if each.mode == scores.mode), tried[0])
            draws = draw(shortcut.tables[0])
            tables = [of_rows(table, table["sample"].isin(draws.samples.index)) for table in scores.tables]
            reached = replicates(shortcut.tables, draws)["mean", "f1"]
            times = ratio(replicates(tables, draws)["mean", "f1"], reached)
            yield row(scores, "mean", f"times_{name}", percentile(times, len(draws.samples)))


def _accuracies(evaluated: list[Scores], _draw: Draws) -> Iterator[Row]:
    """Shares of hits of the study's own multiple choice."""
    for scores in evaluated:
        if scores.benchmark not in ("understanding", "understanding_shuffled"):
            continue
        singles = [((table,), run) for run, table in scores.of_each_seed()]
        for tables, run in [(scores.tables, None), *singles]:
            for kind, members in _mean_hits(tables).groupby("kind", sort=True):
                estimate = hit_rate(members["hit"].to_numpy(np.float64), members["scene"].to_numpy())
                yield row(scores, str(kind), "accuracy", estimate, run)


def _mean_hits(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per sample: kind, scene, hit (its mean over the tables)."""
    every = pd.concat([table[table["correct"].notna()] for table in tables])
    first = every.groupby("sample", sort=True)[["kind", "scene"]].first()
    hit = every["correct"].astype(float).groupby(every["sample"], sort=True).mean()
    return first.assign(hit=hit)

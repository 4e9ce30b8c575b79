"""How much does GRPO raise its reward on the fixed validation prompts?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from ...runs.layout import VALIDATION_REWARD
from .collect import Collection, Run
from .estimates import mean
from .scores import Row, Scores, row


def rows(collection: Collection, resamples: int, seed: int) -> Iterator[Row]:
    """The reward on the fixed validation prompts before and after GRPO, term by term."""
    by_variant: dict[str, list[tuple[Run, pd.DataFrame]]] = {}
    for run in collection.finished("training"):
        if (run.directory / VALIDATION_REWARD).is_file():
            by_variant.setdefault(run.variant, []).append((run, pd.read_parquet(run.directory / VALIDATION_REWARD)))
    for variant, each in by_variant.items():
        runs, tables = (tuple(part) for part in zip(*each, strict=True))
        scores = Scores("validation_reward", "", variant, runs, tables)
        parts: list[tuple[Run | None, tuple[pd.DataFrame, ...]]] = [
            (None, tables),
            *((r, (t,)) for r, t in each),
        ]
        for single, rewards in parts:
            values = pd.concat(rewards).groupby(["mode", "term", "prompt", "when"])["value"].mean().unstack("when")
            for (mode, term), by_prompt in values.dropna().groupby(level=["mode", "term"], sort=True):
                before, after = (by_prompt[when].to_numpy(np.float64) for when in ("before", "after"))
                for metric, measured in {"before": before, "after": after, "gain": after - before}.items():
                    estimate = mean(measured, resamples, seed)
                    yield row(replace(scores, mode=str(mode)), str(term), metric, estimate, single)

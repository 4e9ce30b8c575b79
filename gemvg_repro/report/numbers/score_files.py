"""Is a file of scores whole, and of this version?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

OFFICIAL = ("sample", "scene", "group", "of", "value", "category", "true", "confidences", "matched", "ignored")
"""Columns of a published benchmark's scores (`benchmarks.sample_scores`)."""

GROUNDING = ("sample", "scene", "kind", "n_true", "n_predicted", "tp", "iou", "picture_ok", "unreadable", "tokens")
"""Columns of the study's own tests' scores (`benchmarks.generalised.score`)."""


REWARDS = ("prompt", "mode", "when", "term", "value")
"""Columns of GRPO's reward on the validation prompts."""


def read_scores(path: Path) -> pd.DataFrame:
    """The scores of every sample, one row each. Raises ValueError as `_read` does."""
    return _read(path, lambda table: OFFICIAL if "of" in table or "group" in table else GROUNDING)


def read_rewards(path: Path) -> pd.DataFrame:
    """GRPO's reward on the validation prompts, term by term. Raises ValueError as `_read` does."""
    return _read(path, lambda _: REWARDS)


def _read(path: Path, columns: Callable[[pd.DataFrame], Sequence[str]]) -> pd.DataFrame:
    """A whole table.

    Raises:
        ValueError: the file is damaged or missing, or has not the columns that are written today.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, ArrowException) as error:
        raise ValueError(f"{path.name} cannot be read, it is damaged or missing ({error})") from error
    if missing := [name for name in columns(table) if name not in table]:
        raise ValueError(f"{path.name} has no {', '.join(missing)}: an earlier version wrote it")
    return table

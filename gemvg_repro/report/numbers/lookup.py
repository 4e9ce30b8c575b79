"""How is a number looked up in the table of all numbers?"""

from __future__ import annotations

import pandas as pd

from .estimates import Estimate
from .paired_seeds import OVER_SEEDS


def pick(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows over all seeds in which these columns have these values."""
    rows = table[table["seed"].isna()]
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def look_up(table: pd.DataFrame, **values: str) -> Estimate | None:
    """The one estimate over all seeds that these columns select, or None where there is none."""
    rows = pick(table, **values)
    if not len(rows):
        return None
    row = rows.iloc[0]
    n = 0 if pd.isna(row["n"]) else int(row["n"])
    return Estimate(row["value"], row["low"], row["high"], n, str(row["run"]))


def difference(table: pd.DataFrame, other: str, **values: str) -> Estimate | None:
    """F1 of a variant minus that of `other`: over seeds where they have two in common, else over samples."""
    return over_seeds(table, other, **values) or look_up(table, **values, metric=f"f1_minus_{other}")


def over_seeds(table: pd.DataFrame, other: str, **values: str) -> Estimate | None:
    """The same with its interval over seeds; None where they do not have two in common."""
    return look_up(table, **values, metric=f"f1_minus_{other}{OVER_SEEDS}")


def seeds_of(table: pd.DataFrame) -> tuple[int, ...]:
    """The seeds with which the generalised test set was evaluated."""
    evaluated = table[(table["benchmark"] == "generalised") & table["seed"].notna()]["seed"]
    return tuple(sorted(map(int, evaluated.unique())))

"""Does a right chain of thought go with a right answer? In the miniature, where the true chains are known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ...benchmarks.predictions import PredictionsError, read
from ...grounding.parsing import parse_answer
from ...grounding.samples import GROUNDING_KINDS
from ...runs.layout import PREDICTIONS, WORLD_FILE
from .collect import Collection, Run
from .estimates import hit_rate
from .scores import Row, Scores, row, scores_of

BENCHMARK = "chains"

METRICS = {
    "chain_right": "chains that are right",
    "right_after_right_chain": "right answers after a right chain",
    "right_after_wrong_chain": "right answers after another chain",
}
"""Shares. A chain is right if it is the true one word for word; an answer, if its boxes match the targets one to one at
IoU 0.5, or both are none."""


def rows(collection: Collection) -> Iterator[Row]:
    """Each of METRICS, by kind and over all; of all seeds together, with Wilson's interval clustered by scene.

    Runs whose responses or true chains are not there, as in a bundle of results, have none.
    """
    directories = {run.directory.name: run.directory for run in collection.counted}
    for scores in scores_of(collection):
        if (scores.benchmark, scores.mode) != ("generalised", "cot"):
            continue
        each = [(run, table) for run, table in zip(scores.runs, scores.tables, strict=True)]
        joined = [(run, _joined(run, table, directories)) for run, table in each]
        known = [(run, table) for run, table in joined if len(table)]
        if known:
            runs, tables = zip(*known, strict=True)
            yield from _shares(Scores(BENCHMARK, "cot", scores.variant, runs, tables))


def _shares(scores: Scores) -> Iterator[Row]:
    answers = pd.concat(scores.tables)
    for kind in ("all", *GROUNDING_KINDS):
        of_kind = answers if kind == "all" else answers[answers["kind"] == kind]
        parts = {
            "chain_right": (of_kind, "chain_right"),
            "right_after_right_chain": (of_kind[of_kind["chain_right"]], "right"),
            "right_after_wrong_chain": (of_kind[~of_kind["chain_right"]], "right"),
        }
        for metric, (part, column) in parts.items():
            if len(part):
                estimate = hit_rate(part[column].to_numpy(np.float64), part["scene"].to_numpy())
                yield row(scores, kind, metric, estimate)


def _joined(run: Run, table: pd.DataFrame, directories: dict[str, Path]) -> pd.DataFrame:
    """One row a sample whose chain is known: scene, kind, chain_right, right."""
    world = directories.get(run.result.get("prerequisites", {}).get("data", ""), Path()) / WORLD_FILE
    answers = run.directory / PREDICTIONS.name("generalised-cot")
    if not world.is_file() or not answers.is_file():
        return pd.DataFrame()
    chains = _chains(world)
    try:
        texts = {each.sample: each.text for each in read(answers) if each.sample in chains}
    except PredictionsError:
        return pd.DataFrame()
    known = table[table["sample"].isin(texts.keys())]
    asked_about = zip(known["sample"], known["pictures"], strict=True)
    same = [_thought(texts[sample], pictures) == chains[sample] for sample, pictures in asked_about]
    right = (known["tp"] == known["n_true"]) & (known["n_predicted"] == known["n_true"]) & ~known["unreadable"]
    return known[["scene", "kind"]].assign(chain_right=np.array(same, dtype=bool), right=right)


def _thought(text: str, pictures: int) -> list[str]:
    return (parse_answer(text, pictures).thought or "").split()


@lru_cache(maxsize=1)
def _chains(world: Path) -> dict[str, list[str]]:
    """The words of the true chain of every sample of a data run that has one."""
    table = pd.read_parquet(world, columns=["id", "chain"]).dropna()
    return {sample: chain.split() for sample, chain in zip(table["id"], table["chain"], strict=True)}

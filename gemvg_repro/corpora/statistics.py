"""What does a training set contain? Counts by kind, source, images and targets; box sizes; words; records left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..grounding.samples import Box, Sample
from .recipe import STAGES


def overview(samples: Iterable[Sample]) -> pd.DataFrame:
    """One row a sample: kind, source, numbers of pictures and targets, words of query, chain and answer in free text,
    and the side of its mean target: the square root of its area as a share of its picture's (NaN without targets)."""
    rows = [
        (
            s.kind, s.source, len(s.pictures), len(s.targets), _mean_side([t.box for t in s.targets]),
            len(s.query.split()), len((s.chain or "").split()), len((s.text or "").split()),
        )
        for s in samples
    ]  # fmt: skip
    columns = ["kind", "source", "pictures", "targets", "box", "query_words", "chain_words", "text_words"]
    return pd.DataFrame(rows, columns=columns).astype({"kind": "category", "source": "category"})


def _mean_side(boxes: list[Box]) -> float:
    if not boxes:
        return float("nan")
    corners = np.array(boxes)
    return float(np.sqrt(np.mean((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))))


def tables(samples: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """The overview counted: by kind and source, by pictures, by targets; and means of sizes and words by kind."""
    measures = ["box", "query_words", "chain_words", "text_words"]
    return {
        "kind and source": pd.crosstab(samples["kind"], samples["source"], margins=True),
        "pictures": pd.crosstab(samples["kind"], samples["pictures"]),
        "targets": pd.crosstab(samples["kind"], samples["targets"]),
        "means": samples.groupby("kind", observed=True)[measures].mean().round(3),
    }


def quotas(facts: Mapping[str, Any]) -> pd.DataFrame:
    """Of a manifest or a data run's result: each cell's quota, what was made, what is short and the foremost reason,
    further questions about the same pictures, and the samples of each stage; then the paper's counts."""
    rows = {
        name: {
            **{key: cell[key] for key in ("kind", "source", "quota", "made", "short", "further")}, **cell["stages"],
            "foremost reason": max(cell["not_made"], key=cell["not_made"].get, default="") if cell["short"] else "",
        }
        for name, cell in facts.get("cells", {}).items()
    }  # fmt: skip
    for name, count in facts.get("paper", {}).items():
        made, quota = count["made"], count["wanted"]
        rows[f"paper: {name}"] = {"quota": quota, "made": made, "short": quota - made, **dict.fromkeys(STAGES, "")}
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def refused(facts: Mapping[str, Any]) -> pd.DataFrame:
    """Of a manifest or a data run's result: what was not used of each source and of each cell's anchors, why, how
    often, and where first."""
    rows = [
        (name, reason, count, "; ".join(source["examples"].get(reason, [])[:2]))
        for name, source in facts.get("sources", {}).items()
        for reason, count in sorted(source["skipped"].items())
    ]
    rows += [
        (name, reason, count, "")
        for name, cell in facts.get("cells", {}).items()
        for reason, count in cell["not_made"].items()
    ]
    rows += [("the given file", reason, 1, "") for reason in (*facts.get("notes", []), *facts.get("left_out", []))]
    return pd.DataFrame(rows, columns=["source or cell", "reason", "times", "for example"])

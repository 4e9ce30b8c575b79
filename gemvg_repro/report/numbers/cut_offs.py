"""How many answers were cut off at their limit of tokens?"""

from __future__ import annotations

from .collect import Collection

Counts = dict[tuple[str, str], tuple[int, int, int]]
"""By (benchmark, mode): how many answers were cut off, of how many, and after how many tokens."""


def cut_offs(collection: Collection) -> Counts:
    """Over the finished evaluations that have any; of several limits, the lowest."""
    totals: Counts = {}
    for run in collection.finished("evaluation"):
        for name, counts in (run.result.get("answers") or {}).items():
            benchmark, _, mode = name.rpartition("-")
            if counts["reached_limit"]:
                reached, responses, limit = totals.get((benchmark, mode), (0, 0, counts["max_new_tokens"]))
                more = reached + counts["reached_limit"], responses + counts["responses"]
                totals[benchmark, mode] = (*more, min(limit, counts["max_new_tokens"]))
    return totals

"""Which claims does the paper make, and what do the runs say about each?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from ...benchmarks.published import Published, published
from ..numbers import official_scores
from ..numbers.collect import Collection, Run
from ..numbers.estimates import Estimate, estimates, replicates
from ..numbers.official_scores import OfficialMetric
from ..numbers.resampling import Array, Draws
from ..numbers.scores import Scores, scores_of
from . import rule
from .rule import Difference, Verdict

METRICS = {"generalised": "f1", "mig_bench": "IOU@0.5", "mc_bench": "weighted_ap50", "odinw13": "mAP"}
"""Of each benchmark the metric of its claims; of the others their accuracy."""


@dataclass(frozen=True)
class Claim:
    """A line of claims.yaml on one benchmark; see there."""

    text: str
    benchmark: str
    variant: str
    mode: str
    against: dict[str, str]
    source: str
    paper: float | None = None
    published: str = ""
    revision: str = ""
    kept: bool = False

    @property
    def metric(self) -> str:
        return METRICS.get(self.benchmark, "accuracy")

    @property
    def reference(self) -> Published | None:
        """The published row that it is compared with."""
        key = self.benchmark, self.against.get("published"), self.against.get("column")
        return next((p for p in published() for c in p.columns if (p.benchmark, p.model, c) == key), None)


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured: score and difference in points; `reason`, of what is not run or not official."""

    claim: Claim
    score: Estimate | None
    difference: Difference | None
    verdict: str
    runs: tuple[Run, ...]
    reason: str


@dataclass(frozen=True)
class Measured:
    """A metric of a variant in one mode: by run, and in each resample of the scenes (row 0: all), in [0, 1]."""

    runs: tuple[Run, ...]
    values: tuple[float, ...]
    resampled: Callable[[Sequence[Run]], Array]
    estimate: Callable[[], Estimate]


@cache
def claims() -> tuple[Claim, ...]:
    """Those of claims.yaml, in its order."""
    lines = yaml.safe_load((files(__package__) / "claims.yaml").read_text("utf-8"))
    return tuple(
        Claim(text=line["claim"], benchmark=each, **{k: v for k, v in line.items() if k not in ("claim", "benchmarks")})
        for line in lines
        for each in line["benchmarks"]
    )


def judge(collection: Collection, draws: Draws | None = None) -> list[Judged]:
    """Every claim with its verdict by `rule`; Holm's correction is over all that are tested against 0.

    `draws`: those of the numbers, if they are made, too: nothing is resampled twice.
    """
    draws = draws or Draws()
    measured = _official(collection, draws) | _generalised(collection, draws)
    compared = [_compare(claim, measured) for claim in claims()]
    tested = [n for n, (claim, each) in enumerate(zip(claims(), compared, strict=True)) if each[1] and not claim.kept]
    adjusted = dict(zip(tested, rule.holm([compared[n][1].p for n in tested]), strict=True))  # type: ignore[union-attr]
    return [
        _judged(claim, *each, adjusted.get(n, 1.0))
        for n, (claim, each) in enumerate(zip(claims(), compared, strict=True))
    ]


Key = tuple[str, str, str, str]


def _official(collection: Collection, draw: Draws) -> dict[Key, Measured]:
    def one(metric: OfficialMetric) -> Measured:
        def resampled(runs: Sequence[Run]) -> Array:
            return metric.of_runs(list(runs)).replicates(draw)

        return Measured(metric.runs, metric.values, resampled, lambda: metric.estimate(draw))

    return {(m.variant, m.mode, m.benchmark, m.name): one(m) for m in official_scores.metrics(collection)}


def _generalised(collection: Collection, draw: Draws) -> dict[Key, Measured]:
    def one(scores: Scores) -> Measured:
        draws = draw(scores.tables[0])

        def resampled(runs: Sequence[Run]) -> Array:
            names = {run.name for run in runs}
            tables = [table for run, table in zip(scores.runs, scores.tables, strict=True) if run.name in names]
            return replicates(tables, draws)["mean", "f1"]

        values = tuple(float(resampled([run])[0]) for run in scores.runs)
        return Measured(scores.runs, values, resampled, lambda: estimates(scores.tables, draws)["mean", "f1"])

    own = [scores for scores in scores_of(collection) if scores.benchmark == "generalised"]
    return {(s.variant, s.mode, "generalised", "f1"): one(s) for s in own}


def _compare(
    claim: Claim, measured: dict[Key, Measured]
) -> tuple[Estimate | None, Difference | None, tuple[Run, ...], str]:
    """Score, difference in points, runs, and why it is not run."""
    ours = measured.get((claim.variant, claim.mode, claim.benchmark, claim.metric))
    if ours is None:
        return None, None, (), f"no finished evaluation of {claim.variant} on {claim.benchmark}"
    score = ours.estimate()
    name = claim.against.get("variant", claim.against.get("published", "?"))
    theirs = measured.get((name, claim.against.get("mode", ""), claim.benchmark, claim.metric))
    if theirs is None and (reference := claim.reference):
        if not _paper_scale(ours.runs):
            return score, None, ours.runs, "a published row compares at the paper's scale only"
        other = reference.values[reference.columns.index(claim.against["column"])]
        by_seed = [100 * value - other for value in ours.values]
        return score, rule.difference(by_seed, 100 * ours.resampled(ours.runs)[1:]), ours.runs, ""
    if theirs is None:
        return score, None, ours.runs, f"no finished evaluation of {name} on {claim.benchmark}"
    pairs = [(n, m) for n, run in enumerate(ours.runs) for m, other in enumerate(theirs.runs)
             if other.seed in (None, run.seed)]  # fmt: skip
    if not pairs:
        return score, None, ours.runs, f"no seed in common with {name}"
    own, others = ([part.runs[n] for n in dict.fromkeys(places)] for part, places in
                   ((ours, [n for n, _ in pairs]), (theirs, [m for _, m in pairs])))  # fmt: skip
    resampled = ours.resampled(own)[1:] - theirs.resampled(others)[1:]
    by_seed = [100 * (ours.values[n] - theirs.values[m]) for n, m in pairs]
    return score, rule.difference(by_seed, 100 * resampled), (*own, *others), ""


def _judged(
    claim: Claim,
    score: Estimate | None,
    difference: Difference | None,
    runs: tuple[Run, ...],
    reason: str,
    adjusted: float,
) -> Judged:
    why_not = _not_official(claim, runs) if difference else ""
    given: Verdict = (
        rule.kept(difference, not why_not) if claim.kept
        else rule.verdict(difference, claim.paper, adjusted, not why_not)
    )  # fmt: skip
    printed = given if _paper_scale(runs) or not difference else rule.in_miniature(given, difference, claim.kept)
    return Judged(claim, score, difference, printed, runs, reason or why_not)


def _not_official(claim: Claim, runs: tuple[Run, ...]) -> str:
    """Why these runs cannot earn "reproduced"; empty: they can."""
    if claim.benchmark == "generalised":
        return "the project's own test set"
    reasons = []
    if not _paper_scale(runs):
        reasons.append("not the paper's scale")
    if any(task["limited"] for run in runs for task in run.tasks if task["benchmark"] == claim.benchmark):
        reasons.append("on a part of the benchmark")
    revisions = {run.revision(claim.benchmark, claim.mode) for run in runs}
    if None in revisions:
        reasons.append("on a file of no known revision")
    others = revisions - {None, claim.revision}
    if claim.revision and not claim.revision.startswith("not told") and others:
        reasons.append(f"on {', '.join(sorted(map(str, others)))}; the paper's is {claim.revision}")
    return "; ".join(reasons)


def _paper_scale(runs: tuple[Run, ...]) -> bool:
    return all(run.result.get("profile") == "paper" for run in runs)

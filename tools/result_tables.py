"""What did a study find? Its tables as Markdown, from the numbers of its finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from gemvg_repro.report.claims.claims import Judged, judge
from gemvg_repro.report.expected import planned
from gemvg_repro.report.labels import LONGER, MODEL_FREE, MODES, START, look
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.numbers.estimates import Estimate
from gemvg_repro.report.numbers.lookup import difference, look_up, pick, seeds_of
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.page.table import Cell, Missing, Number, Table, Target
from gemvg_repro.report.sections import costs, official_scores, tables
from gemvg_repro.study.paths import project_root

NAMES = (
    "headline", "claims", "variants", "differences", "slices", "shifts", "rewards", "shortcuts", "choices", "official",
    "stages",
)  # fmt: skip
"""Of the tables, in the order in which results.md has them."""

NOT_RUN = "not run"
HYBRID = "hybrid"
QUESTIONS = (
    ("Is hybrid GRPO better than pure-CoT GRPO?", HYBRID, "cot"),
    ("... than pure-direct GRPO?", HYBRID, "direct"),
    ("... than where all three start, CoT SFT?", HYBRID, START),
    ("... than compute-matched SFT?", HYBRID, LONGER),
)
"""Of the first table: the question, the variant, and what it is compared with."""


def of_runs(runs: Path, grid: Path | None = None) -> dict[str, str]:
    """Every table of results by its name, from the finished runs of a folder that a grid plans."""
    study = planned(grid or project_root() / "sweeps" / "miniature.yaml", [], runs)
    collection = collect(runs, study.keys)
    draws = Draws()  # of numbers and claims: nothing is resampled twice
    measured = numbers(collection, draws)
    of_report = (
        tables.variants(measured, collection),
        tables.differences(measured),
        tables.slices(measured),
        tables.shifts(measured),
        tables.rewards(measured),
        tables.shortcuts(measured),
        tables.choices(measured),
        official_scores.table(measured, collection),
        costs.stages(measured),
    )
    if not len(pick(measured, benchmark="generalised", metric="f1")):
        return {"headline": headline(measured)} | dict.fromkeys(NAMES[1:], "No finished runs yet.")
    own = {"headline": headline(measured), "claims": claims(judge(collection, draws))}
    return own | {table.name: markdown(table) for table in of_report}


def headline(measured: pd.DataFrame) -> str:
    """Five questions, and the answer to each with direct and with CoT prompts."""
    rows = [
        [question, *(_verdict(measured, variant, other, mode) for mode in MODES)]
        for question, variant, other in QUESTIONS
    ]
    effect = {"variant": HYBRID, "mode": "cot", "benchmark": "slices", "metric": "f1_minus_direct_mode"}
    seen, reasoned = (look_up(measured, **effect, kind=kind) for kind in ("perception", "composition/3"))
    rows.append([
        "Do chains of thought pay? (hybrid, CoT minus direct prompts)",
        f"where perception suffices: {judged(seen)}", f"over three hops: {judged(reasoned)}",
    ])  # fmt: skip
    lines = _rows(["mean F1@0.5, points [95 % CI]", "direct prompts", "CoT prompts"], rows)
    return "\n".join([*lines, "", _scope(measured)])


def claims(claimed: Sequence[Judged]) -> str:
    """The claims that were measured, one row each; of the others how many, and why."""
    rows, missing = [], 0
    for each in claimed:
        if each.difference is None:
            missing += 1
            continue
        d = Estimate(each.difference.value, each.difference.low, each.difference.high, each.difference.seeds)
        on = official_scores.LABELS.get(each.claim.benchmark, "generalised test set")
        compared = f"{look(each.claim.variant).label}, {MODES[each.claim.mode]} prompts"
        rows.append([each.claim.text, on, compared, _cell(Number(d, signed=True)), str(d.n), each.verdict])
    lines = [*_rows(["claim", "on", "of", "difference, points", "seeds", "verdict"], rows)] if rows else []
    rest = f"{missing} of {len(claimed)} rows were not run: most need the paper's scale on official files." * bool(
        missing
    )
    return "\n".join([*lines, *([""] if rows and rest else []), rest])


def _scope(measured: pd.DataFrame) -> str:
    """What the table is of: samples, seeds, F1 itself beside the shortcuts."""
    where = {"variant": HYBRID, "benchmark": "generalised", "kind": "mean", "metric": "f1"}
    direct, cot = (look_up(measured, **where, mode=mode) for mode in ("direct", "cot"))
    if direct is None or cot is None:
        return "No finished runs yet: `make study`, then `python -m tools.doc_tables --runs runs`."
    seeds = len(seeds_of(measured))
    shortcuts = [look_up(measured, benchmark=name, kind="mean", metric="f1") for name in MODEL_FREE]
    best = max((100 * each.value for each in shortcuts if each), default=float("nan"))
    sure = (
        "intervals over training seeds" if seeds > 1
        else "intervals over samples only: other training seeds may give another order"
    )  # fmt: skip
    return (
        f"In the miniature, {direct.n:,} held-out samples, {seeds} seed{'s' * (seeds != 1)}; {sure}. Hybrid itself has "
        f"{100 * direct.value:.1f} and {100 * cot.value:.1f}, the best baseline that needs no image {best:.1f}."
    )


def _verdict(measured: pd.DataFrame, variant: str, other: str, mode: str) -> str:
    where = {"benchmark": "generalised", "variant": variant, "mode": mode, "kind": "mean"}
    return judged(difference(measured, other, **where))


def judged(gain: Estimate | None) -> str:
    """A difference in points with its interval, in words."""
    if gain is None:
        return NOT_RUN
    word = "yes" if gain.low > 0 else "worse" if gain.high < 0 else "statistically indistinguishable"
    points = Estimate(100 * gain.value, 100 * gain.low, 100 * gain.high, gain.n)
    return f"{word}, {_cell(Number(points, signed=True))}"


def markdown(table: Table) -> str:
    """A table of the report: caption, rows, notes."""
    if not len(table.frame):
        return f"{table.caption} {NOT_RUN.capitalize()}."
    names = [index if isinstance(index, tuple) else (index,) for index in table.frame.index]
    rows = [[", ".join(map(str, name)), *map(_cell, cells)]
            for name, cells in zip(names, table.frame.to_numpy(), strict=True)]  # fmt: skip
    return "\n".join([table.caption, "", *_rows(["", *map(str, table.frame.columns)], rows), "", *table.notes])


def _rows(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _cell(cell: Cell) -> str:
    if isinstance(cell, Number):
        interval = cell.interval().replace(" to ", ", ").replace("\N{EN DASH}", ", ")
        return f"{cell.value()} [{interval}]" if interval else cell.value()
    if isinstance(cell, Missing) or cell is None:
        return "\N{EN DASH}"
    text = cell.text if isinstance(cell, Target) else cell
    return text.replace("|", "\\|").replace("\n", " ")

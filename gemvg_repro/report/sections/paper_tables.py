"""How do our scores stand beside the published ones, each benchmark as papers print it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ...benchmarks.published import Published, published
from ...benchmarks.suites.mig_bench_file import TASKS
from ..claims.claims import METRICS
from ..labels import MODES, look, mode_of, position
from ..numbers.collect import Collection
from ..numbers.estimates import Estimate
from ..numbers.lookup import look_up, pick
from ..numbers.official_scores import KIND
from ..page.table import Cell, Missing, Number, Table, blocks, percent, ranked
from .official_scores import LABELS

GENERAL = ("muirbench", "mmiu", "blink", "mibench", "mantis_eval")
"""The benchmarks of general understanding, in the paper's order."""

UNKNOWN = "a file of no known revision"

RANKED = (
    "Best value of a column bold, second underlined: among rows on one revision of the benchmark's file, people left "
    "out. Values on different revisions do not compare; published rows have no intervals."
)


@dataclass(frozen=True)
class Column:
    """A column of a table: of which benchmark, metric and group, and what published tables call it."""

    head: str
    benchmark: str
    metric: str
    kind: str = KIND
    published: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row: its names, and of each column its cell and the revision that the cell is of."""

    names: tuple[str, str]
    cells: Sequence[Cell]
    revisions: Sequence[str]


def mig_bench(numbers: pd.DataFrame, collection: Collection) -> Table:
    """Acc@0.5 by MIG-Bench's ten tasks and their plain mean."""
    columns = [Column(task.column, "mig_bench", "IOU@0.5", key, (task.column,)) for key, task in TASKS.items()]
    columns.append(Column("mean", "mig_bench", "IOU@0.5", KIND, ("AVE", "AVG")))
    return _beside_published("paper-mig-bench", "MIG-Bench: Acc@0.5 in per cent by task", columns, numbers, collection)


def mc_bench(numbers: pd.DataFrame, collection: Collection) -> Table:
    """MC-Bench's two metrics, over all and by text style."""
    names = {"image_accuracy": "Acc", "weighted_ap50": "AP50"}
    styles = _groups(numbers, "mc_bench")
    columns = [
        Column(f"{head}, {kind}" if kind != KIND else head, "mc_bench", metric, kind, (head,) if kind == KIND else ())
        for metric, head in names.items()
        for kind in (KIND, *styles)
    ]
    return _beside_published("paper-mc-bench", "MC-Bench in per cent, by text style", columns, numbers, collection)


def odinw(numbers: pd.DataFrame, collection: Collection) -> Table:
    """ODINW's mAP by data set, and their mean."""
    sets = _groups(numbers, "odinw13")
    columns = [Column("mean", "odinw13", "mAP", KIND, ("mAP",)), *(Column(s, "odinw13", "mAP", s) for s in sets)]
    caption = "ODINW-13: mAP in per cent, by data set"
    return _beside_published("paper-odinw", caption, columns, numbers, collection)


def general(numbers: pd.DataFrame, collection: Collection) -> Table:
    """Accuracy on the benchmarks of general understanding of several images."""
    columns = [Column(LABELS[name], name, "accuracy", KIND, ("accuracy",)) for name in GENERAL]
    caption = "General understanding: accuracy in per cent"
    return _beside_published("paper-general", caption, columns, numbers, collection)


def ablations(numbers: pd.DataFrame) -> list[Table]:
    """Mean F1 and each benchmark's headline: of the modes of GRPO, of the stages, and of the terms of the reward."""
    terms = [v for v in numbers["variant"].unique() if mode_of(str(v)) == "hybrid" and "grpo.weights." in str(v)]
    return [
        _ablation(numbers, "modes", "the modes of GRPO", ("cot_sft", "cot", "direct", "hybrid")),
        _ablation(numbers, "stages", "the stages", ("base", "sft", "cot_sft", "hybrid")),
        _ablation(numbers, "terms", "the terms of the reward", ("hybrid", *sorted(map(str, terms), key=position))),
    ]


_MAKES = {"terms": "python sweeps/launch.py sweeps/rewards.yaml"}


def _ablation(numbers: pd.DataFrame, name: str, what: str, variants: Sequence[str]) -> Table:
    scored = pick(numbers, kind=KIND)
    scored = scored[scored["mode"].isin([*MODES])]
    scores = dict.fromkeys(zip(scored["benchmark"], scored["metric"], strict=True))
    heads = {(b, m): f"{LABELS.get(b, b)} {m} ↑" for b, m in scores if m == METRICS.get(b, "accuracy")}
    present = [v for v in variants if len(pick(numbers, variant=v, metric="f1")) or (scored["variant"] == v).any()]
    lines: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for mode, label in MODES.items() if len(present) > 1 else ():
        columns = []
        for benchmark, metric in (("generalised", "f1"), *heads):
            kind = "mean" if benchmark == "generalised" else KIND
            where = {"mode": mode, "benchmark": benchmark, "metric": metric, "kind": kind}
            columns.append(ranked([percent(look_up(numbers, variant=v, **where)) for v in present]))
        rows = zip(*columns, strict=True)
        lines += [((f"{label} prompts", look(v).label), row) for v, row in zip(present, rows, strict=True)]
    named = f"ablation-{name}", f"Ablation of {what}, in per cent."
    if not lines:
        makes = _MAKES.get(name, "python sweeps/launch.py")
        why = f"Not run yet: fewer than two of its variants have a finished evaluation; `{makes}` makes them."
        return Table(*named, pd.DataFrame(), (why,))
    return blocks(*named, ["mean F1 ↑", *heads.values()], lines, "Best value of a block bold, second underlined.")


def _beside_published(
    name: str, caption: str, columns: Sequence[Column], numbers: pd.DataFrame, collection: Collection
) -> Table:
    """Published rows, rows of other models' answer files, and ours, ranked among those of one revision."""
    others, sources = _published(columns)
    own = [*_given(columns, numbers, collection), *_ours(columns, numbers, collection)]
    if not own:
        return Table(name, f"{caption}.", pd.DataFrame(), ("Not run yet: no finished run answered it.",))
    lines = _marked([*others, *own])
    revisions = {
        r for line in own for cell, r in zip(line.cells, line.revisions, strict=True) if isinstance(cell, Number)
    }
    known = ", ".join(sorted(revisions - {UNKNOWN}))
    of = f"Answers were given to {known}." if known else ""
    more = f" Answers to {UNKNOWN}, such as the miniature's own, do not compare with published rows."
    return blocks(
        name,
        f"{caption}.",
        [column.head for column in columns],
        [(line.names, line.cells) for line in lines],
        RANKED,
        (of + more * (UNKNOWN in revisions)).strip(),
        *sources,
    )


def _published(columns: Sequence[Column]) -> tuple[list[Line], list[str]]:
    """The published rows that have any of the columns, by source, and the sources in words."""
    benchmarks = {column.benchmark for column in columns}
    rows: dict[tuple[str, str], list[Published]] = {}
    for row in published():
        if row.benchmark in benchmarks:
            rows.setdefault((row.source, row.model), []).append(row)
    numbered = {source: n for n, source in enumerate(dict.fromkeys(source for source, _ in rows), 1)}
    lines = []
    for (source, model), each in rows.items():
        values = {(p.benchmark, c): (v, p.revision) for p in each for c, v in zip(p.columns, p.values, strict=True)}
        places = [
            next((values[c.benchmark, p] for p in c.published if (c.benchmark, p) in values), None) for c in columns
        ]
        cells = [Missing("not in the source") if p is None else _plain(p[0]) for p in places]
        # what is not told is of no other row's revision; people are ranked with nobody
        revisions = ["" if p is None or model == "Human" else p[1] for p in places]
        named = [r if not r.startswith("not told") else f"{r} [{numbered[source]}]" for r in revisions]
        lines.append(Line((f"published [{numbered[source]}]", model), cells, named))
    return lines, [f"[{n}] {source}: {_measured(rows, source)}." for source, n in numbered.items()]


def _measured(rows: Mapping[tuple[str, str], Sequence[Published]], source: str) -> str:
    each = [row for (of, _), several in rows.items() if of == source for row in several]
    words = dict.fromkeys(f"{row.metric}, on {row.revision}" for row in each)
    return "; ".join(words)


def _given(columns: Sequence[Column], numbers: pd.DataFrame, collection: Collection) -> Iterable[Line]:
    models = dict.fromkeys(run.variant for run in collection.finished("answers"))
    return _lines(columns, numbers, collection, ((model, "", model, "answers given as a file") for model in models))


def _ours(columns: Sequence[Column], numbers: pd.DataFrame, collection: Collection) -> Iterable[Line]:
    scored = pick(numbers, kind=KIND)
    benchmarks = [column.benchmark for column in columns]
    answered = scored[scored["benchmark"].isin(benchmarks) & (scored["mode"] != "")]
    variants = sorted(answered["variant"].unique(), key=position)
    rows = ((v, mode, look(v).label, f"ours, {label} prompts") for mode, label in MODES.items() for v in variants)
    return _lines(columns, numbers, collection, rows)


def _lines(
    columns: Sequence[Column], numbers: pd.DataFrame, collection: Collection, rows: Iterable[tuple[str, str, str, str]]
) -> Iterable[Line]:
    """Rows of (variant, mode, name, block) that have any number."""
    revisions = {
        (run.variant, task["mode"], task["benchmark"]): run.revision(task["benchmark"], task["mode"]) or ""
        for purpose in ("answers", "evaluation")
        for run in collection.finished(purpose)
        for task in run.tasks
    }
    for variant, mode, name, block in rows:
        cells: list[Cell] = [
            percent(look_up(numbers, variant=variant, mode=mode, benchmark=c.benchmark, metric=c.metric, kind=c.kind))
            or Missing("no finished run gives this number")
            for c in columns
        ]
        if any(isinstance(cell, Number) for cell in cells):
            of = [revisions.get((variant, mode, c.benchmark), "") for c in columns]
            yield Line((block, name), cells, [each or UNKNOWN for each in of])


def _marked(lines: Sequence[Line]) -> list[Line]:
    """With the best and the second-best of each column marked among the rows of one revision."""
    cells = [list(line.cells) for line in lines]
    for place in range(len(lines[0].cells)):
        by_revision: dict[str, list[int]] = {}
        for n, line in enumerate(lines):
            if line.revisions[place]:
                by_revision.setdefault(line.revisions[place], []).append(n)
        for rows in by_revision.values():
            for n, cell in zip(rows, ranked([cells[n][place] for n in rows]), strict=True):
                cells[n][place] = cell
    return [replace(line, cells=each) for line, each in zip(lines, cells, strict=True)]


def _plain(value: float) -> Number:
    nan = float("nan")
    return Number(Estimate(value, nan, nan, 0))


def _groups(numbers: pd.DataFrame, benchmark: str) -> list[str]:
    kinds = pick(numbers, benchmark=benchmark)["kind"].unique()
    return sorted(str(kind) for kind in kinds if kind != KIND)

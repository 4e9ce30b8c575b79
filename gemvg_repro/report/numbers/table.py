"""What are all the numbers of a study? Runs -> one tidy table, from which every table and figure is made."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...files.atomic import write_bytes
from ...grounding.samples import GROUNDING_KINDS
from ...runs.layout import NUMBERS, VALIDATION_REWARD
from ..labels import MODEL_FREE, REFERENCES, SHORTCUTS, position
from . import official_scores, paired_seeds, slices
from .collect import PURPOSES, Collection, Run
from .estimates import Estimate, Resampling, estimates, hit_rate, mean, percentile, ratio, replicates, resampling

COLUMNS = ["run", "variant", "seed", "mode", "benchmark", "kind", "metric", "value", "low", "high", "n"]

COSTS = ("seconds", "tokens_trained", "tokens_generated", "flops", "peak_memory_mb")

_Row = tuple[object, ...]
Draw = Callable[[pd.DataFrame], Resampling]


@dataclass(frozen=True)
class _Scores:
    """The scores of one variant on one benchmark in one mode: one table a run, that is, a seed."""

    benchmark: str
    mode: str
    variant: str
    runs: tuple[Run, ...]
    tables: tuple[pd.DataFrame, ...]

    def of_seeds(self, seeds: set[int | None]) -> list[pd.DataFrame]:
        return [table for run, table in zip(self.runs, self.tables, strict=True) if run.seed in seeds]

    def of_each_seed(self) -> list[tuple[Run, pd.DataFrame]]:
        """The runs that have a seed, which the base has not."""
        return [(run, table) for run, table in zip(self.runs, self.tables, strict=True) if run.seed is not None]


def numbers(collection: Collection, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Every number of the finished runs, with columns COLUMNS.

    A row of one run carries its name and seed. A row over all seeds of a variant has no seed (<NA>) and joins
    their names in `run`; it is there for a single seed too, so that tables need these rows only.

    metric:
        f1, precision, recall: kind is one of the five, or "mean".
        iou, picture_accuracy, count_accuracy, none_accuracy, unreadable, tokens: kind "all".
        accuracy: kind "understanding", or a task of MIG-Bench or "mean".
        an official score of a published benchmark, by its official name: kind "official".
        f1_minus_<variant>: interval over samples, the seeds held fixed; f1_minus_<variant>_over_seeds: by t over n
        seeds. times_<shortcut>: how many times the shortcut's mean F1 the variant reaches.
        Of benchmark "slices", whose kinds are slices: f1, and f1_minus_direct_mode of CoT mode.
        before, after, gain: GRPO's reward on the validation prompts; kind is its term.
        seconds_in_all (with all prerequisites), and COSTS; over all seeds <cost>_of_stage, of the variant's last stage.

    Args:
        collection: the runs; only finished ones are read.
        resamples: of every bootstrap.
        seed: of every bootstrap.
    """
    scores = _scores(collection)
    drawn: dict[tuple[str, ...], Resampling] = {}

    def draw(table: pd.DataFrame) -> Resampling:
        samples = tuple(sorted(table["sample"]))
        if samples not in drawn:
            drawn[samples] = resampling(table, resamples, seed)
        return drawn[samples]

    rows = [
        *_generalised(scores, draw),
        *_differences(scores, draw),
        *_slices(scores, draw),
        *_times_shortcut(scores, draw),
        *_accuracies(scores, draw),
        *official_scores.rows(collection),
        *_rewards(collection, resamples, seed),
        *_costs(collection),
    ]
    table = _typed(rows)
    paired = _typed(paired_seeds.rows(table))
    return pd.concat([table, paired], ignore_index=True) if len(paired) else table


def _typed(rows: Iterable[_Row | Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    return table.astype({"seed": "Int64", "n": "Int64", "value": float, "low": float, "high": float})


def save(table: pd.DataFrame, out: Path) -> Path:
    """Writes numbers.parquet into the folder `out`, which is made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    write_bytes(out / NUMBERS, content.getvalue())
    return out / NUMBERS


def pick(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows over all seeds in which these columns have these values."""
    chosen = table["seed"].isna()
    for column, value in wanted.items():
        chosen &= table[column] == value
    return table[chosen]


def look_up(table: pd.DataFrame, **wanted: str) -> Estimate | None:
    """The one estimate over all seeds that these columns select, or None where there is none."""
    rows = pick(table, **wanted)
    if not len(rows):
        return None
    row = rows.iloc[0]
    return Estimate(row["value"], row["low"], row["high"], 0 if pd.isna(row["n"]) else int(row["n"]))


def difference(table: pd.DataFrame, other: str, **wanted: str) -> Estimate | None:
    """F1 of a variant minus that of `other`: over seeds where they have two in common, else over samples."""
    return over_seeds(table, other, **wanted) or look_up(table, **wanted, metric=f"f1_minus_{other}")


def over_seeds(table: pd.DataFrame, other: str, **wanted: str) -> Estimate | None:
    """The same with its interval over seeds; None where they do not have two in common."""
    return look_up(table, **wanted, metric=f"f1_minus_{other}{paired_seeds.OVER_SEEDS}")


def seeds_of(table: pd.DataFrame) -> tuple[int, ...]:
    """The seeds with which the generalised test set was evaluated."""
    found = table[(table["benchmark"] == "generalised") & table["seed"].notna()]["seed"]
    return tuple(sorted(map(int, found.unique())))


def _scores(collection: Collection) -> list[_Scores]:
    found: dict[tuple[str, str, str], list[tuple[Run, pd.DataFrame]]] = {}
    for run in [*collection.finished("data"), *collection.finished("evaluation")]:
        for (benchmark, mode), table in run.scores().items():
            if benchmark in ("generalised", *SHORTCUTS):
                table = table[table["kind"].isin(GROUNDING_KINDS)]
            variant = "" if benchmark in MODEL_FREE else run.variant
            if variant or (benchmark, mode, variant) not in found:  # without a model, every run says the same
                found.setdefault((benchmark, mode, variant), []).append((run, table))
    ordered = sorted(found.items(), key=lambda item: (item[0][:2], position(item[0][2])))
    return [_Scores(*key, *(tuple(part) for part in zip(*each, strict=True))) for key, each in ordered]


def _row(scores: _Scores, kind: str, metric: str, estimate: Estimate, run: Run | None = None) -> _Row:
    """A row of one run, or of all runs of the scores where none is given."""
    names = run.name if run else " ".join(one.name for one in scores.runs)
    where = (names, scores.variant, run.seed if run else None, scores.mode, scores.benchmark, kind, metric)
    return (*where, estimate.value, estimate.low, estimate.high, estimate.n or None)


def _generalised(scores: list[_Scores], draw: Draw) -> Iterator[_Row]:
    for one in scores:
        if one.benchmark not in ("generalised", *SHORTCUTS):
            continue
        draws = draw(one.tables[0])
        measured = estimates(one.tables, draws)
        yield from (_row(one, *key, estimate) for key, estimate in measured.items())
        for run, table in one.of_each_seed():
            own = measured if len(one.runs) == 1 else estimates([table], draws)
            yield from (_row(one, *key, estimate, run) for key, estimate in own.items())


def _differences(scores: list[_Scores], draw: Draw) -> Iterator[_Row]:
    """F1 of a variant minus that of another: same samples, same mode, and the seeds that both have."""
    generalised = {(one.mode, one.variant): one for one in scores if one.benchmark == "generalised"}
    for (mode, variant), one in generalised.items():
        for other in REFERENCES.get(variant, ()):
            reference = generalised.get((mode, other))
            if reference is None:
                continue
            seeds = {run.seed for run in one.runs} & {run.seed for run in reference.runs}
            if not seeds:
                continue
            draws = draw(one.tables[0])
            ours, theirs = (replicates(each.of_seeds(seeds), draws) for each in (one, reference))
            for kind in ("mean", *GROUNDING_KINDS):
                if (kind, "f1") in ours:
                    difference = ours[kind, "f1"] - theirs[kind, "f1"]
                    yield _row(one, kind, f"f1_minus_{other}", percentile(difference, len(draws.samples)))


def _slices(scores: list[_Scores], draw: Draw) -> Iterator[_Row]:
    """F1 by slice, and what asking for CoT changes in it: on the same samples, with the seeds of both modes."""
    generalised = {(one.mode, one.variant): one for one in scores if one.benchmark == "generalised"}
    for (mode, variant), one in generalised.items():
        sliced = replace(one, benchmark="slices")
        draws = draw(one.tables[0])
        ours = slices.replicates(one.tables, draws)
        yield from (_row(sliced, name, "f1", percentile(*measured)) for name, measured in ours.items())
        direct = generalised.get(("direct", variant)) if mode == "cot" else None
        if direct is not None and [run.seed for run in direct.runs] == [run.seed for run in one.runs]:
            theirs = slices.replicates(direct.tables, draws)
            for name, (f1, n, _) in ours.items():
                yield _row(sliced, name, "f1_minus_direct_mode", percentile(f1 - theirs[name].f1, n))


def _times_shortcut(scores: list[_Scores], draw: Draw) -> Iterator[_Row]:
    """The mean F1 of every variant over that of each shortcut, on the samples of the shortcut."""
    for one in (one for one in scores if one.benchmark == "generalised"):
        for name in SHORTCUTS:
            whose = "" if name in MODEL_FREE else one.variant
            tried = [each for each in scores if (each.benchmark, each.variant) == (name, whose)]
            if not tried:
                continue
            shortcut = next((each for each in tried if each.mode == one.mode), tried[0])
            draws = draw(shortcut.tables[0])
            tables = [table[table["sample"].isin(draws.samples.index)] for table in one.tables]
            reached = replicates(shortcut.tables, draws)["mean", "f1"]
            times = ratio(replicates(tables, draws)["mean", "f1"], reached)
            yield _row(one, "mean", f"times_{name}", percentile(times, len(draws.samples)))


def _accuracies(scores: list[_Scores], draw: Draw) -> Iterator[_Row]:
    """Shares of hits: multiple choice in all, MIG-Bench by task and as the mean over its tasks."""
    for one in scores:
        if one.benchmark not in ("understanding", "mig_bench"):
            continue
        grouped = "task" if one.benchmark == "mig_bench" else "kind"
        singles = [((table,), run) for run, table in one.of_each_seed()]
        for tables, run in [(one.tables, None), *singles]:
            hits = _mean_hits(tables, grouped)
            for group, rows in hits.groupby("group", sort=True):
                estimate = hit_rate(rows["hit"].to_numpy(np.float64), rows["scene"].to_numpy())
                yield _row(one, str(group), "accuracy", estimate, run)
            if grouped == "task":
                yield _row(one, "mean", "accuracy", _mean_over_groups(hits, draw), run)


def _mean_hits(tables: Sequence[pd.DataFrame], grouped: str) -> pd.DataFrame:
    """One row a sample: group, scene, hit (its mean over the tables)."""
    every = pd.concat([table[table["correct"].notna()] for table in tables])
    first = every.groupby("sample", sort=True)[[grouped, "scene"]].first()
    hit = every["correct"].astype(float).groupby(every["sample"], sort=True).mean()
    return first.rename(columns={grouped: "group"}).assign(hit=hit)


def _mean_over_groups(hits: pd.DataFrame, draw: Draw) -> Estimate:
    draws = draw(hits.rename(columns={"group": "kind"}).reset_index())
    hit, groups = hits["hit"].to_numpy(np.float64), hits["group"].to_numpy()
    shares = []
    for group in np.unique(groups):
        total, n = draws.totals(np.column_stack([hit, np.ones(len(hits))]) * (groups == group)[:, None]).T
        shares.append(ratio(total, n))
    return percentile(np.mean(shares, axis=0), len(hits))


def _rewards(collection: Collection, resamples: int, seed: int) -> Iterator[_Row]:
    """The reward on the fixed validation prompts before and after GRPO, term by term."""
    found: dict[str, list[tuple[Run, pd.DataFrame]]] = {}
    for run in collection.finished("training"):
        if (run.directory / VALIDATION_REWARD).is_file():
            found.setdefault(run.variant, []).append((run, pd.read_parquet(run.directory / VALIDATION_REWARD)))
    for variant, each in found.items():
        runs, tables = (tuple(part) for part in zip(*each, strict=True))
        scores = _Scores("validation_reward", "", variant, runs, tables)
        choices: list[tuple[Run | None, tuple[pd.DataFrame, ...]]] = [
            (None, tables),
            *((r, (t,)) for r, t in each),
        ]
        for only, chosen in choices:
            values = pd.concat(chosen).groupby(["mode", "term", "prompt", "when"])["value"].mean().unstack("when")
            for (mode, term), by_prompt in values.dropna().groupby(level=["mode", "term"], sort=True):
                before, after = (by_prompt[when].to_numpy(np.float64) for when in ("before", "after"))
                for metric, measured in {"before": before, "after": after, "gain": after - before}.items():
                    estimate = mean(measured, resamples, seed)
                    yield _row(replace(scores, mode=str(mode)), str(term), metric, estimate, only)


def _costs(collection: Collection) -> Iterator[_Row]:
    """What each run cost; and the seconds of a training with all it stands on, as the mean over seeds too."""
    directories = {run.directory.name: run for run in collection.counted}

    def needed(run: Run) -> set[str]:
        """The directories of the run and of all that it stands on, each once."""
        names = run.result.get("prerequisites", {}).values()
        before = [directories[name] for name in names if name in directories]
        return {run.directory.name}.union(*map(needed, before))

    def in_all(run: Run) -> float:
        costs = [directories[name].result.get("cost", {}) for name in needed(run)]
        return float(sum(cost.get("seconds", np.nan) for cost in costs))

    trained: dict[str, list[tuple[Run, dict[str, float]]]] = {}
    for run in [one for purpose in PURPOSES for one in collection.finished(purpose)]:
        cost = run.result.get("cost", {})
        costs = {metric: cost[metric] for metric in COSTS if cost.get(metric) is not None}
        for metric, value in (costs | {"seconds_in_all": in_all(run)}).items():
            yield (run.name, run.variant, run.seed, "", run.purpose, "", metric, value, None, None, None)
        if run.purpose == "training":
            own = {f"{metric}_of_stage": value for metric, value in costs.items()}
            trained.setdefault(run.variant, []).append((run, own | {"seconds_in_all": in_all(run)}))
    for variant, each in trained.items():
        names = " ".join(run.name for run, _ in each)
        for name, average in pd.DataFrame([costs for _, costs in each]).mean(skipna=False).items():
            yield (names, variant, None, "", "training", "", str(name), average, None, None, None)

"""What did it cost? Time, tokens, FLOPs and memory, by stage and by run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..labels import look, position
from ..numbers.collect import PURPOSES
from ..numbers.costs import COSTS, PARTS, UNFINISHED
from ..page.table import Cell, Table, blocks


def stages(numbers: pd.DataFrame) -> Table:
    """One row per stage: number of runs, cost of one run, and share of the total time."""
    table = spent_by_stage(numbers)
    heads = _heads(numbers)
    unfinished = numbers[numbers["benchmark"] == UNFINISHED]["value"]
    in_all = table["in_all"].sum() + unfinished.sum()
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for (purpose, variant), row in zip(table.index.to_list(), table.to_dict("records"), strict=True):
        share = f"{100 * row['in_all'] / in_all:.0f}"
        cells = [f"{row['runs']:.0f}", *_cells(row, heads), amount(row["in_all"] / 60, 1), share]
        rows.append(((purpose, "" if purpose == "data" else look(variant).label), cells))
    if len(unfinished):
        spent = [amount(unfinished.sum() / 60, 1), f"{100 * unfinished.sum() / in_all:.0f}"]
        rows.append((("training", "failed or unfinished"), [str(len(unfinished)), *[""] * len(heads), *spent]))
    if rows:
        whole = ["", *[""] * len(heads), amount(in_all / 60, 1), "100"]
        rows.append((("in all", ""), whole))
    return blocks(
        "stages",
        "Where the time went, by stage.",
        ["runs", *(head for head, *_ in heads.values()), "minutes of all runs", "% of all time"],
        rows,
        "Per run, as the mean over seeds; of memory, the maximum. Runs may be executed side by side, so the wall-clock "
        "time may be shorter than the minutes of all runs. Attempts: processes that made a run; one, if "
        "nothing stopped or failed. Failed or unfinished: the steps of trainings that have no result.",
    )


def costs(numbers: pd.DataFrame) -> Table:
    """Every run by itself, and all together."""
    spent, heads = _by_run(numbers), _heads(numbers)
    wide = spent.pivot_table(index=["benchmark", "run"], columns="metric", values="value", sort=False)
    wide = wide.reindex(columns=list(heads))
    total = wide.sum(min_count=1).where(wide.columns != "peak_memory_mb", wide["peak_memory_mb"].max())
    rows = [(names, _cells(row, heads)) for names, row in zip(wide.index, wide.to_dict("records"), strict=True)]
    rows += [(("in all", ""), _cells(total.to_dict(), heads))] if rows else []
    caption = "Cost of every run; the total of memory is the maximum."
    return blocks("costs", caption, [head for head, *_ in heads.values()], rows)


def steps(numbers: pd.DataFrame) -> Table:
    """How fast each training went, and what its steps were spent on."""
    spent = numbers[(numbers["benchmark"] == "training") & numbers["seed"].notna()]
    wide = spent.pivot_table(index="run", columns="metric", values="value", sort=False).reindex(columns=list(COSTS))
    on_gpus = wide["peak_gpu_memory_mb"].notna().any()
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for run, row in zip(wide.index, wide.to_dict("records"), strict=True):
        seconds = row["seconds_of_steps"]
        parts = [row[f"seconds_{part}"] for part in PARTS]
        shares = [*parts, seconds - sum(part for part in parts if pd.notna(part))]
        per_step = amount(seconds / row["steps"] if row["steps"] else math.nan, 2)
        cells = [amount(100 * part / seconds if seconds else math.nan, 0) for part in shares]
        memory = [amount(row["peak_gpu_memory_mb"] / 1e3, 1)] if on_gpus else []
        rows.append((("training", run), [per_step, amount(row["tokens_per_second"], 0), *cells, *memory]))
    heads = ("generation", "passes", "optimiser", "measuring", "rest")
    return blocks(
        "step-times",
        "Seconds of a step, and what they were spent on.",
        ["s a step", "tokens/s", *(f"{head}, %" for head in heads), *(["GPU memory, GB"] if on_gpus else [])],
        rows,
        "Tokens trained on, over all processes. Parts as the first process saw them; the rest waits for batches, or "
        "saves. GPU memory, where there are GPUs: the most that torch allocated on one. How many processes trained, on "
        "which GPUs: under Machines and versions.",
    )


def spent_by_stage(numbers: pd.DataFrame) -> pd.DataFrame:
    """Costs by (purpose, variant), in the order of the stages: of one run, `runs`, and seconds `in_all`."""
    spent = _by_run(numbers)
    if not len(spent):
        return pd.DataFrame({"in_all": [], "runs": []})
    by_stage = spent.groupby(["benchmark", "variant", "metric"])["value"]
    table = by_stage.mean().unstack("metric").reindex(columns=list(_COSTS))
    seconds = spent[spent["metric"] == "seconds"].groupby(["benchmark", "variant"])["value"]
    table = table.assign(
        peak_memory_mb=by_stage.max().unstack("metric").get("peak_memory_mb"), runs=seconds.size(), in_all=seconds.sum()
    )
    order = sorted(table.index, key=lambda stage: (PURPOSES.index(stage[0]), position(stage[1])))
    return table.loc[order]


_COSTS = {
    "seconds": ("minutes", 1 / 60, 1),
    "tokens_trained": ("M tokens trained on", 1e-6, 2),
    "tokens_generated": ("M tokens generated", 1e-6, 2),
    "flops": ("FLOP", 1.0, 2),
    "flops_unshared": ("FLOP", 1.0, 2),
    "peak_memory_mb": ("peak memory, GB", 1e-3, 2),
    "attempts": ("attempts", 1.0, 1),
    "gpu_hours": ("GPU hours", 1.0, 2),
}


def _heads(numbers: pd.DataFrame) -> dict[str, tuple[str, float, int]]:
    """The head, factor and digits of every cost."""
    unit, factor = flops(numbers)
    counts = {"flops": (unit, factor, 2), "flops_unshared": (f"{unit}, a prompt read for each answer", factor, 2)}
    measured = set(numbers["metric"])
    return {m: head for m, head in (_COSTS | counts).items() if m in measured or m not in ("attempts", "gpu_hours")}


def _by_run(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers[numbers["metric"].isin(list(_COSTS)) & numbers["benchmark"].isin(PURPOSES)]


def _cells(row: Mapping[Any, Any], heads: dict[str, tuple[str, float, int]]) -> list[Cell]:
    """Empty where a cost does not apply: no tokens are generated in SFT."""
    return [
        amount(row[metric] * factor, _digits(metric, row[metric], digits)) if row.get(metric) else ""
        for metric, (_, factor, digits) in heads.items()
    ]


def _digits(metric: str, value: float, digits: int) -> int:
    """Attempts are whole, but for their mean over seeds."""
    return 0 if metric == "attempts" and value == round(value) else digits


def amount(value: float, digits: int) -> Cell:
    """A plain number with thousands separators; empty where there is none."""
    return f"{value:,.{digits}f}" if pd.notna(value) else ""


def largest(numbers: pd.DataFrame, metric: str) -> float:
    """The largest value of a metric; nan where there is none."""
    return float(numbers[numbers["metric"] == metric]["value"].max())


def flops(numbers: pd.DataFrame) -> tuple[str, float]:
    """The unit for the largest FLOPs of a stage, and the factor from FLOP to it."""
    units = {"TFLOP": 1e-12, "PFLOP": 1e-15, "EFLOP": 1e-18}
    maximum = largest(numbers, "flops_of_stage")
    return next((unit for unit in units.items() if not maximum * unit[1] >= 1000), ("EFLOP", 1e-18))

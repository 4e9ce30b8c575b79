import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gemvg_repro.report.numbers import costs as numbers_of_costs
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.estimates import Estimate
from gemvg_repro.report.numbers.lookup import look_up
from gemvg_repro.report.numbers.table import COLUMNS, numbers
from gemvg_repro.report.page.table import Cell, Number, Table, blocks, percent, ranked, records, scaled
from gemvg_repro.report.sections import costs, official_scores, provenance, tables

from .. import synthetic

ALL = (
    tables.variants,
    tables.differences,
    tables.shortcuts,
    tables.rewards,
    tables.choices,
    tables.slices,
    tables.shifts,
    official_scores.table,
    costs.stages,
    costs.costs,
)


def at(table: Table, row: str | tuple[str, ...], column: Any) -> Any:
    """The cell of a table."""
    return table.frame.loc[row, column]


def number(value: float, **look: bool) -> Number:
    return Number(Estimate(value, value - 1, value + 1, 10), **look)


def test_how_a_number_is_printed() -> None:
    assert (number(12.34).value(), number(12.34).interval()) == ("12.3", "11.3\N{EN DASH}13.3")
    assert number(0.5, signed=True).interval() == "\N{MINUS SIGN}0.5 to +1.5"
    assert number(-0.04, signed=True).value() == "0.0"
    assert Number(Estimate(1234.5, math.nan, math.nan, 1), digits=0).value() == "1,234"
    assert percent(Estimate(math.nan, 0, 0, 0)) is None and scaled(None) is None


def ranks(cells: Sequence[Cell], largest: bool = True) -> list[int | None]:
    return [cell.rank if isinstance(cell, Number) else None for cell in ranked(cells, largest)]


def test_ranks() -> None:
    assert ranks([number(1.0), None, number(3.0), number(2.8)]) == [0, None, 1, 2]
    assert ranks([number(3.01), number(2.99), number(1.0), number(0.5)]) == [1, 1, 2, 0]  # printed alike
    assert ranks([number(2.0), number(5.0)], largest=False) == [1, 2]
    assert ranks([number(2.0), number(2.01)]) == [0, 0]


def test_nothing_in_a_cell_or_head_is_mark_up() -> None:
    evil = "<img src=x onerror=alert(1)> \\input{/etc/passwd} $x$ & `code`"
    table = records("evil", evil, [{"a": evil, evil: evil}])
    assert "<img" not in table.html() and "&lt;img" in table.html() and "<code>code</code>" in table.html()
    assert "\\input" not in table.latex() and r"\textbackslash{}input" in table.latex()
    assert "$x$" not in table.latex()


def test_a_dash_has_a_footnote() -> None:
    table = blocks("t", "Caption.", ["a", "b"], [(("x",), [None, number(1)])])
    assert '<span class="dash">\N{EN DASH}</span>' in table.html() and "no finished run" in table.html()
    assert "& -- &" in table.latex() and r"\toprule" in table.latex()
    assert "no finished run" not in blocks("t", "Caption.", ["a"], [(("x",), [number(1)])]).html()


def test_variants(measured: pd.DataFrame) -> None:
    table = tables.variants(measured)
    estimate = look_up(measured, benchmark="generalised", variant="hybrid", mode="direct", kind="mean", metric="f1")
    cell = at(table, ("direct prompts", "GRPO, hybrid"), "mean F1 ↑")
    assert estimate is not None and cell.estimate.value == pytest.approx(100 * estimate.value)
    assert all(at(table, ("CoT prompts", "GRPO, pure direct"), column) is None for column in table.frame)
    marks = [c.rank for c in at(table, "direct prompts", "mean F1 ↑") if isinstance(c, Number)]
    assert sorted(marks) == [0, 0, 0, 1, 2]
    assert table.frame.loc["shortcuts"].index.tolist() == [
        "best constant box",
        "image-index prior",
        "grey images",
        "shuffled images",
    ]


def test_minutes_are_those_of_all_that_leads_to_a_variant(measured: pd.DataFrame) -> None:
    table = tables.variants(measured)
    assert at(table, ("direct prompts", "CoT SFT"), "minutes").value() == f"{(40 + 180 + 95) / 60:.1f}"
    assert "Minutes: of making the data and of all trainings" in table.html()


def test_how_many_samples_the_shortcuts_had(measured: pd.DataFrame) -> None:
    assert "with direct prompts, on 80 samples." in tables.variants(measured).html()


def test_rewards_say_whether_the_gain_is_sure(measured: pd.DataFrame) -> None:
    frame = tables.rewards(measured).frame
    assert frame.index.get_level_values(2).unique().tolist() == [
        "total",
        "localisation",
        "count",
        "picture",
        "format",
    ]
    for _, row in frame.iterrows():
        low, high = row["gain"].estimate.low, row["gain"].estimate.high
        assert row["verdict"] == ("up" if low > 0 else "down" if high < 0 else "indistinguishable")


def test_costs(measured: pd.DataFrame) -> None:
    frame = costs.costs(measured).frame
    assert frame.loc[("training", "sft-s0"), "minutes"] == "3.0"
    assert frame.loc[("in all", ""), "minutes"] == f"{(40 + 180 + 95 + 110 * 2 + 45 * 5) / 60:.1f}"
    assert frame.loc[("in all", ""), "peak memory, GB"] == "1.90"


def test_a_training_that_failed_is_counted_with_the_seconds_of_its_steps(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", ignore=shutil.ignore_patterns("gallery", "scores-*"))
    (failed,) = (tmp_path / "runs").glob("cot-s0-*")
    synthetic.unfinish(failed)
    with (failed / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 121, "seconds": 90.0}) + "\n")
    trainings = tuple(run for run in collect(tmp_path / "runs").counted if run.purpose != "evaluation")
    spent = pd.DataFrame(list(numbers_of_costs.rows(Collection(trainings))), columns=COLUMNS)
    frame = costs.stages(spent.astype({"seed": "Int64"})).frame
    row = ("training", "failed or unfinished")
    assert (frame.at[row, "runs"], frame.at[row, "minutes of all runs"]) == ("1", "1.5")
    whole = (40 + 180 + 95 + 110 + 90) / 60
    assert frame.loc[("in all", ""), "minutes of all runs"] == f"{whole:.1f}"


def test_the_speed_of_trainings(measured: pd.DataFrame) -> None:
    frame = costs.steps(measured).frame
    columns = ("s a step", "passes, %", "optimiser, %", "rest, %", "generation, %")
    assert [frame.at[("training", "sft-s0"), name] for name in columns] == ["1.62", "50", "20", "30", ""]
    assert "GPU memory, GB" not in frame, "on CPU"


def test_time_by_stage(measured: pd.DataFrame) -> None:
    table = costs.stages(measured)
    assert list(table.frame.index)[:4] == [
        ("data", ""),
        ("training", "SFT"),
        ("training", "CoT SFT"),
        ("training", "GRPO, pure CoT"),
    ]
    cells = [at(table, ("training", "SFT"), column) for column in ("runs", "minutes", "TFLOP")]
    assert cells == ["1", "3.0", "18.00"]
    everything = 40 + 180 + 95 + 110 * 2 + 45 * 5
    assert at(table, ("in all", ""), "minutes of all runs") == f"{everything / 60:.1f}"
    assert at(table, ("evaluation", "base"), "% of all time") == f"{100 * 45 / everything:.0f}"


@pytest.mark.parametrize("make", ALL)
def test_saved_in_both_forms(measured: pd.DataFrame, tmp_path: Path, make: Callable[[pd.DataFrame], Table]) -> None:
    table = make(measured)
    assert isinstance(table.save(tmp_path), Table)
    html = (tmp_path / "tables" / f"{table.name}.html").read_text()
    latex = (tmp_path / "tables" / f"{table.name}.tex").read_text()
    assert "<table" in html and r"\bottomrule" in latex
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", latex):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("make", ALL)
def test_without_runs(tmp_path: Path, make: Callable[[pd.DataFrame], Table]) -> None:
    table = make(numbers(Collection(()))).save(tmp_path)
    assert "\N{EN DASH}" in table.html() or "Not run yet" in table.html()


def test_provenance(collection: Collection, tmp_path: Path) -> None:
    complete = provenance.complete(collection).save(tmp_path)
    assert complete.caption.startswith("10 runs expected, 10 found, 10 finished")
    environment = provenance.environment(collection).save(tmp_path)
    assert environment.frame.loc["versions torch", "value"] == "2.13.0"
    assert "alert" not in environment.html()  # the host's name is nobody's business
    assert provenance.environment(Collection(())).html()


def test_ledger(tmp_path: Path) -> None:
    table = provenance.ledger().save(tmp_path)
    assert len(table.frame) >= 10
    assert not any(not str(cell).strip() for cell in table.frame.to_numpy().ravel())
    (tmp_path / "bad.yaml").write_text("- {statement: a, choice: b}\n")
    with pytest.raises(ValueError, match="ablation"):
        provenance.ledger(tmp_path / "bad.yaml")

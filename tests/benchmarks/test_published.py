from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from gemvg_repro.benchmarks import published as module
from gemvg_repro.benchmarks.published import published
from gemvg_repro.benchmarks.registry import NAMES
from gemvg_repro.benchmarks.suites.mig_bench_file import TASKS

REVISIONS = yaml.safe_load((Path(module.__file__).parent / "revisions.yaml").read_text())


def test_every_row_has_all_its_columns_a_source_and_a_revision() -> None:
    for row in published():
        assert row.benchmark in NAMES and row.source and row.revision and row.metric
        assert len(row.values) == len(row.columns), row
        assert all(0 <= value <= 100 for value in row.values), row


MIG_BENCH = [r for r in published() if r.benchmark == "mig_bench" and r.model != "LLaVA-OV-72B"]  # see its note


@pytest.mark.parametrize("row", MIG_BENCH, ids=lambda r: r.model)
def test_averages_are_means_over_the_tasks(row: module.Published) -> None:
    mean = sum(row.values[:-1]) / 10
    assert row.values[-1] == pytest.approx(mean, abs=0.06)  # of two decimals each; UniVG-R1 prints .02 more


@pytest.mark.parametrize("model", ["Qwen2-VL-7B", "Migician", "UniVG-R1", "InternVL2-8B", "LLaVA-OV-7B", "Mantis"])
def test_univg_s_table_mixes_revisions_as_it_says(model: str) -> None:
    """Its percentages of Common, GG and Reason are quotients of the counts of the stated revision alone."""
    row = next(r for r in published() if r.benchmark == "mig_bench" and r.model == model and "UniVG" in r.source)
    counts = next(each["counts"] for each in REVISIONS if each["revision"] == row.revision)
    for task in ("common_object", "group_grounding", "reasoning"):
        value = row.values[row.columns.index(TASKS[task].column)]
        n = counts[task]
        nearest = Fraction(round(value * n / 100), n) * 100
        assert abs(float(nearest) - value) < 0.0051, (task, value, n)

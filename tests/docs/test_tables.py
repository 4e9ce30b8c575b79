"""Tables in README.md and docs/: those of the code are up to date, those of results are of the shipped runs."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.claims.claims import judge
from gemvg_repro.report.measures import DEFINITIONS
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.numbers.estimates import Estimate
from gemvg_repro.report.numbers.lookup import difference
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections import tables
from gemvg_repro.study.variants import TRAINED
from tests.report import synthetic
from tools import doc_tables, result_tables

from .markdown import ROOT

SHIPPED = sorted((ROOT / "results").glob("*.tar.xz"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "runs"
    variants = ("base", "cot_sft", "cot", "direct", "hybrid")
    synthetic.build(folder, synthetic.names(variants=variants), samples=40, choices=5)
    return folder


@pytest.fixture(scope="module")
def measured(runs: Path) -> pd.DataFrame:
    return numbers(collect(runs), Draws(50))


def test_tables_of_the_code_are_up_to_date() -> None:
    written = doc_tables.of_code()
    for page in doc_tables.pages(ROOT):
        text = page.read_text("utf-8")
        assert doc_tables.filled(text, written) == text, f"{page.name}: run `python -m tools.doc_tables`"


def test_every_measure_and_every_mode_has_its_line() -> None:
    metrics, glossary = ((ROOT / "docs" / page).read_text("utf-8") for page in ("metrics.md", "glossary.md"))
    assert all(f"| `{measure}` |" in metrics for measure in DEFINITIONS)
    assert all(f"| `{mode}` |" in glossary for mode in TRAINED)
    for module in re.findall(r"\]\(\.\./(gemvg_repro/[^)]*\.py)\)", metrics):
        assert (ROOT / module).is_file()


def test_every_place_has_a_table() -> None:
    known = {*doc_tables.of_code(), *result_tables.NAMES}
    places = [
        name for page in doc_tables.pages(ROOT) for _, name, *_ in doc_tables.PLACE.findall(page.read_text("utf-8"))
    ]
    assert set(places) == known


def test_the_first_table_answers_five_questions(measured: pd.DataFrame) -> None:
    lines = result_tables.headline(measured).splitlines()
    assert len(lines) == 2 + 5 + 2 and all(line.count("|") == 4 for line in lines[:7])
    where = {"benchmark": "generalised", "variant": "hybrid", "mode": "cot", "kind": "mean"}
    gain = difference(measured, "direct", **where)
    assert gain and f"{100 * gain.value:+.1f} [".replace("-", "\N{MINUS SIGN}") in lines[3]
    assert "1 seed; intervals over samples only" in lines[-1]


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.01, 0.03, "yes"), (-0.03, -0.01, "worse"), (-0.01, 0.01, "statistically indistin")]
)
def test_a_difference_in_words(low: float, high: float, word: str) -> None:
    assert result_tables.judged(Estimate((low + high) / 2, low, high, 5)).startswith(word)
    assert result_tables.judged(None) == "not run"


def test_a_table_of_the_report_as_markdown(measured: pd.DataFrame) -> None:
    lines = result_tables.markdown(tables.variants(measured)).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert any(line.startswith("| CoT prompts, GRPO, hybrid | ") for line in rows)


def test_claims_have_a_line_where_they_were_measured(runs: Path) -> None:
    judged = judge(collect(runs), Draws(50))
    text = result_tables.claims(judged)
    assert text.count("in the miniature |") == sum(each.difference is not None for each in judged) > 2


def test_places_are_filled_and_filled_again() -> None:
    page = "a\n<!-- table: headline -->\nold\n<!-- end -->\nb\n<!-- table: other -->\nkept\n<!-- end -->\n"
    new = doc_tables.filled(page, {"headline": "1\n2"})
    assert new == page.replace("old", "1\n2") and doc_tables.filled(new, {"headline": "1\n2"}) == new


def test_without_runs_every_table_says_so(tmp_path: Path) -> None:
    assert set(result_tables.of_runs(tmp_path)) == set(result_tables.NAMES)
    assert "No finished runs yet" in result_tables.of_runs(tmp_path)["headline"]


@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED, reason="no results are shipped yet")
def test_results_are_those_of_the_shipped_runs() -> None:
    grid = ROOT / "sweeps" / "controls.yaml"
    assert doc_tables.main(["--bundle", str(SHIPPED[0]), "--grid", str(grid), "--check"]) == 0

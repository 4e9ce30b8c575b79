from pathlib import Path

import pandas as pd

from gemvg_repro.report.claims.claims import judge
from gemvg_repro.report.documents import DOCUMENTS, main, write
from gemvg_repro.report.numbers.collect import Collection
from gemvg_repro.report.numbers.lookup import look_up
from gemvg_repro.report.numbers.resampling import Draws

from . import synthetic


def test_the_documents_have_the_report_s_numbers(
    measured: pd.DataFrame, collection: Collection, tmp_path: Path
) -> None:
    texts = {
        path.name: path.read_text()
        for path in write(collection, measured, judge(collection, Draws(200)), synthetic.STUDY, tmp_path)
    }
    assert set(texts) == set(DOCUMENTS)
    where = {"variant": "hybrid", "mode": "cot", "benchmark": "generalised", "kind": "mean", "metric": "f1"}
    hybrid = look_up(measured, **where)
    assert hybrid and f"| GRPO, hybrid | CoT | {100 * hybrid.value:.1f} |" in texts["SUMMARY.md"]
    assert "10 of 10 runs are finished" in texts["REPRODUCIBILITY.md"] and "2.13.0" in texts["REPRODUCIBILITY.md"]
    for text in texts.values():
        assert "<script" not in text and "{{" not in text
        tables = [line for line in text.splitlines() if line.startswith("|")]
        assert len(tables) > 5 and "\n\n\n" not in text


def test_without_runs_they_say_so(tmp_path: Path) -> None:
    assert main(["--runs", str(tmp_path / "runs")]) == 0
    summary = (tmp_path / "runs" / "report" / "SUMMARY.md").read_text()
    assert "No finished run has evaluated it" in summary and "not run (no finished evaluation" in summary

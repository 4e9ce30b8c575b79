import json
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.other_models import main
from gemvg_repro.report.page.table import Missing, Number
from gemvg_repro.report.sections import official_scores, paper_tables

from ...benchmarks.suites.test_mig_bench_file import RECORDS


def test_published_rows_stand_above_ours_and_are_ranked_by_revision(
    measured: pd.DataFrame, collection: Collection
) -> None:
    table = paper_tables.mig_bench(measured, collection)
    assert list(table.frame.columns[:2]) == ["Static", "Robust"] and len(table.frame.columns) == 11
    means = table.frame["mean"]
    assert table.frame.index[0] == ("published [1]", "Human") and means.iloc[0].rank == 0
    best = {(names, cell.value()) for names, cell in means.items() if isinstance(cell, Number) and cell.rank == 1}
    assert {(("published [1]", "Migician"), "63.8"), (("published [2]", "UniVG-R1"), "72.6")} < best
    assert len(best) >= 3  # of ours the best, by itself: its file is of no known revision
    assert "do not compare with published rows" in table.html() and "arXiv 2501.05767" in table.html()
    styles = paper_tables.mc_bench(measured, collection).frame["AP50, reasoning"]
    assert styles.iloc[0] == Missing("not in the source") and isinstance(styles.iloc[-1], Number)
    assert "not in the source" in paper_tables.odinw(measured, collection).html()


def test_ablations(measured: pd.DataFrame) -> None:
    modes, stages, terms = paper_tables.ablations(measured)
    assert [name for _, name in stages.frame.index[:4]] == ["base", "SFT", "CoT SFT", "GRPO, hybrid"]
    assert len(modes.frame) == 6 and "MIG-Bench IOU@0.5 ↑" in modes.frame.columns
    assert "sweeps/rewards.yaml" in terms.html() and not len(terms.frame)


def test_another_model_s_answers_are_scored_as_ours_are(
    tmp_path: Path, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    boxes = [[round(1000 * edge) for edge in record.answer] for record in RECORDS]
    responses = [f"({x1},{y1}),({x2},{y2})" for x1, y1, x2, y2 in boxes]
    lines = [json.dumps({"index": n, "response": text}) + "\n" for n, text in enumerate(responses)]
    (tmp_path / "answers.jsonl").write_text("".join(lines))
    files = ["--annotations", str(annotations), "--predictions", str(tmp_path / "answers.jsonl")]
    for _ in range(2):  # the second time it is there already
        assert main(["mig_bench", "--model", "Some <b>model</b>", *files, "--runs", str(tmp_path / "runs")]) == 0
    assert len(set(capsys.readouterr().out.split())) == 1
    given = collect(tmp_path / "runs", ["hybrid-s0-0123456789"])
    (run,) = given.finished("answers")
    assert json.loads((run.directory / "official-mig_bench.json").read_text())["headline"]["IOU@0.5"]["value"] == 1
    table = paper_tables.mig_bench(numbers(given, Draws(50)), given)
    assert table.frame.index[-1] == ("answers given as a file", "Some <b>model</b>")
    assert table.frame["mean"].iloc[-1].value() == "100.0" and "<b>model" not in table.html()
    assert not len(official_scores.table(numbers(given, Draws(50))).frame)  # which is of our variants
    assert main(["mig_bench", "--model", "x", "--annotations", str(annotations), "--predictions", "none"]) == 2

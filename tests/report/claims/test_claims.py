"""claims.yaml names what exists; runs of the miniature, and of no runs, are judged."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.benchmarks.published import published
from gemvg_repro.benchmarks.registry import NAMES
from gemvg_repro.report.claims.claims import Judged, claims, judge
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections import claims as section
from gemvg_repro.study.variants import BASE, TRAINED
from tests.report import synthetic


def test_claims_name_variants_benchmarks_and_published_rows() -> None:
    for claim in claims():
        assert claim.benchmark in {"generalised", *NAMES} and claim.variant in {BASE, *TRAINED}
        assert claim.against.get("variant") in {None, BASE, *TRAINED}
        assert ("published" in claim.against) == (claim.reference is not None) and claim.source


def test_what_is_compared_with_is_the_best_published_model() -> None:
    for claim in claims():
        if (row := claim.reference) is not None:
            column = claim.against["column"]
            rows = [p for p in published() if p.benchmark == row.benchmark and column in p.columns]
            best = max(p.values[p.columns.index(column)] for p in rows if p.model not in ("Human", "GeM-VG"))
            assert row.values[row.columns.index(column)] == best


def test_nothing_run() -> None:
    judged = judge(Collection(()))
    assert {each.verdict for each in judged} == {"not run"} and all(each.reason for each in judged)
    html = section.table(judged, numbers(Collection(()))).html()
    assert "no finished evaluation" in html and "Holm" in section.rule()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims")
    synthetic.build(folder, synthetic.names([0, 1, 2], ["base", "sft", "hybrid"]), samples=60, choices=20)
    return folder


def test_the_miniature_is_judged_as_one(runs: Path) -> None:
    collection = collect(runs)
    judged = {(each.claim.text, each.claim.benchmark): each for each in judge(collection, Draws(100))}
    gain = judged["SFT gains over the base", "mig_bench"]
    assert gain.verdict == "same direction, in the miniature" and gain.difference and gain.difference.seeds == 3
    assert "not the paper's scale" in gain.reason and "no known revision" in gain.reason
    (base,) = _scores(collection, "base")
    assert gain.difference.value == pytest.approx(100 * (sum(_scores(collection, "sft")) / 3 - base))
    best = judged["Better than the previous best on MIG-Bench", "mig_bench"]
    assert best.verdict == "not run" and "paper's scale" in best.reason and best.score
    assert judged["Hybrid is better than pure direct", "mig_bench"].verdict == "not run"  # not evaluated here
    assert not {each.verdict for each in judged.values()} & {"reproduced", "direction only", "not reproduced"}
    html = section.table(list(judged.values()), numbers(collection, Draws(20))).html()
    assert "evaluate-hybrid-s0-" in html and "not published" in html


def test_the_paper_s_scale_is_judged_by_the_file_that_it_was_scored_on(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    revised, shipped = "UniVG-R1's revised MIG-Bench", "MIG-Bench as shipped by Migician"
    for folder in (tmp_path / "runs").glob("evaluate-*"):
        result = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps(result | {"profile": "paper"}))
    _scored_on(tmp_path / "runs", revised, 0.85)
    claim = "Better than the previous best on MIG-Bench", "mig_bench"
    assert (same := _judged(tmp_path / "runs")[claim]).verdict == "reproduced" and not same.reason
    _scored_on(tmp_path / "runs", shipped, 0.85)
    other = _judged(tmp_path / "runs")[claim]
    assert other.verdict == "direction only" and shipped in other.reason and revised in other.reason
    _scored_on(tmp_path / "runs", None, 0.85)
    assert "no known revision" in _judged(tmp_path / "runs")[claim].reason


def test_answers_of_the_model_itself_are_paired_instead_of_its_published_row(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    (sft,) = (tmp_path / "runs").glob("evaluate-sft-s0-*")
    given = sft.rename(tmp_path / "runs" / f"answers-{sft.name}")
    (given / "parameters.json").write_text(json.dumps({"kind": "answers", "id": given.name[-10:]}))
    result = json.loads((given / "result.json").read_text())
    tasks = [task | {"mode": ""} for task in result["tasks"] if task["mode"] == "cot"]
    about: dict[str, object] = {"mode": "UniVG-R1", "seed": None, "overrides": {}, "tasks": tasks}
    (given / "result.json").write_text(json.dumps({"id": result["id"]} | about))
    best = _judged(tmp_path / "runs")["Better than the previous best on MIG-Bench", "mig_bench"]
    assert best.difference and best.difference.seeds == 3 and given.name in {run.directory.name for run in best.runs}


def _judged(runs: Path) -> dict[tuple[str, str], Judged]:
    return {(each.claim.text, each.claim.benchmark): each for each in judge(collect(runs), Draws(100))}


def _scored_on(runs: Path, revision: str | None, accuracy: float) -> None:
    """Gives hybrid this accuracy on MIG-Bench with CoT prompts, on a file of this revision."""
    for folder in runs.glob("evaluate-hybrid-*"):
        rows = pd.read_parquet(folder / "scores-mig_bench-cot.parquet")
        hits = rows.groupby("group").cumcount() < accuracy * rows.groupby("group")["group"].transform("size")
        rows.assign(value=hits.astype(float)).to_parquet(folder / "scores-mig_bench-cot.parquet", index=False)
        official = json.loads((folder / "official-mig_bench-cot.json").read_text())
        official["headline"]["IOU@0.5"]["value"] = accuracy
        official["fingerprint"]["revision"] = revision
        (folder / "official-mig_bench-cot.json").write_text(json.dumps(official))


def _scores(collection: Collection, variant: str) -> list[float]:
    """MIG-Bench's score of each run of a variant, as its run directory has it."""
    evaluated = [run for run in collection.finished("evaluation") if run.variant == variant]
    return [float(run.official()["mig_bench", "direct"]["IOU@0.5"]["value"]) for run in evaluated]

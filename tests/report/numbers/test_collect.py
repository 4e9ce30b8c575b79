import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.expected import planned
from gemvg_repro.report.numbers.collect import collect, completeness
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers

from .. import synthetic

DONE = {"cost": {"seconds": 1.0}}


def make(runs: Path, directory: str, **files: Mapping[str, object]) -> Path:
    folder = runs / directory
    folder.mkdir(parents=True)
    for name, content in files.items():
        identified = {"id": directory[-10:]} if name == "result" else {}
        (folder / f"{name}.json").write_text(json.dumps({**identified, **content}))
    return folder


def states(runs: Path, expected: tuple[str, ...] = ()) -> dict[str, str]:
    table = completeness(collect(runs, expected))
    return {f"{row['run']}-{row['id']}": row["state"] for row in table.to_dict("records")}


def test_no_runs(tmp_path: Path) -> None:
    assert collect(tmp_path / "nowhere").counted == ()
    assert states(tmp_path, ("sft-s0-0123456789",)) == {"sft-s0-0123456789": "missing"}


def test_only_a_result_says_that_a_run_is_finished(tmp_path: Path) -> None:
    make(tmp_path, "sft-s0-0123456789", result=DONE)
    make(tmp_path, "cot-s0-0123456789", progress={"step": 7, "total": 9})
    make(tmp_path, "direct-s0-0123456789")
    (tmp_path / ".jobs" / "direct-s0-0123456789").mkdir(parents=True)
    (tmp_path / ".jobs" / "direct-s0-0123456789" / "failure.txt").write_text("ValueError: no")
    (make(tmp_path, "hybrid-s0-0123456789") / "result.json").write_text('{"id": "01234')
    assert states(tmp_path) == {
        "sft-s0-0123456789": "finished",
        "cot-s0-0123456789": "unfinished",
        "direct-s0-0123456789": "failed",
        "hybrid-s0-0123456789": "unreadable",
    }
    make(tmp_path, "sft-s1-0123456789", result={"id": "aaaaaaaaaa"})
    assert states(tmp_path)["sft-s1-0123456789"] == "unreadable"
    notes = completeness(collect(tmp_path)).set_index("run")["note"]
    assert "step 7 of 9" in notes["cot-s0"] and "ValueError: no" in notes["direct-s0"]


@pytest.mark.parametrize("name", ["result", "parameters", "environment"])
def test_a_damaged_file_makes_a_run_unreadable(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, "sft-s0-0123456789", result=DONE, parameters={}, environment={})
    assert states(tmp_path) == {"sft-s0-0123456789": "finished"}
    (folder / f"{name}.json").write_text('{"id": "01234')
    assert states(tmp_path) == {"sft-s0-0123456789": "unreadable"}
    assert f"{name}.json" in completeness(collect(tmp_path))["note"].iloc[0]


def test_what_a_run_is_of_is_said_by_its_result_whatever_its_folder_is_called(tmp_path: Path) -> None:
    training = {"mode": "hybrid", "seed": 12, "overrides": {}}
    runs: list[tuple[str, str, dict[str, object]]] = [
        ("data", "data", {}),
        ("hybrid-s12", "train", training),
        ("direct-s3", "train", {**training, "overrides": {"grpo.rollouts": 16, "grpo.weights.count": 0.0}}),
        ("evaluate-cot-s1-mig_bench", "evaluate", {**training, "tasks": []}),
        ("evaluate-my-model.2", "evaluate", {"mode": None, "seed": None, "tasks": []}),
        ("evaluate-old-s0", "evaluate", training),
    ]
    for name, kind, result in runs:
        make(tmp_path, f"{name}-0123456789", parameters={"kind": kind}, result={**DONE, **result})
    make(tmp_path, "sft-s4-0123456789", parameters={"kind": "train", "mode": "sft", "seed": 4})
    make(tmp_path, "sft-sft.steps=9-s4-0123456789", parameters={"kind": "train", "mode": "sft", "seed": 4})
    make(tmp_path, "report")
    (tmp_path / "notes-0123456789").write_text("a file")
    listed = [(run.purpose, run.variant, run.seed) for run in collect(tmp_path).counted if run.state != "unreadable"]
    assert listed == [
        ("data", "data", None),
        ("training", "sft", 4),
        ("training", "hybrid", 12),
        ("training", "hybrid, grpo.rollouts=16, grpo.weights.count=0", 12),
        ("training", "sft-sft.steps=9-s4", 4),
        ("evaluation", "hybrid", 12),
        ("evaluation", "evaluate-my-model.2", None),
    ]
    assert states(tmp_path)["evaluate-old-s0-0123456789"] == "unreadable"  # of an earlier version


def test_a_plan_leaves_other_settings_out(tmp_path: Path) -> None:
    for id_ in ("aaaaaaaaaa", "bbbbbbbbbb"):
        make(tmp_path, f"sft-s0-{id_}", result=DONE)
    planned = ("sft-s0-aaaaaaaaaa", "cot-s0-cccccccccc")
    assert states(tmp_path, planned) == {
        "sft-s0-aaaaaaaaaa": "finished",
        "cot-s0-cccccccccc": "missing",
        "sft-s0-bbbbbbbbbb": "left out",
    }


def test_a_plan_of_several_settings_is_refused(tmp_path: Path) -> None:
    """They have the same names, and would be averaged like seeds; nothing needs to be finished to know it."""
    grid = tmp_path / "grid.yaml"
    grid.write_text("scientific: {mode: [cot_sft]}\nnuisance: {seed: [0, 1], steps: [10, 20]}\n")
    keys = planned(grid, [], tmp_path).keys
    with pytest.raises(
        ValueError, match=r"two runs sft-s0, sft-s0-\w{10} and sft-s0-\w{10}, .*one setting.*--set steps"
    ):
        collect(tmp_path, keys)
    assert collect(tmp_path, [*keys[:2], keys[0]]).missing


def test_without_a_plan_the_newest_finished_run_counts(tmp_path: Path) -> None:
    import os

    for age, id_ in enumerate(("cccccccccc", "bbbbbbbbbb")):
        folder = make(tmp_path, f"sft-s0-{id_}", result=DONE)
        os.utime(folder / "result.json", (1e9 + age, 1e9 + age))
    make(tmp_path, "sft-s0-dddddddddd")
    assert [run.id for run in collect(tmp_path).counted] == ["bbbbbbbbbb"]


def test_a_torn_log_and_a_step_logged_twice(tmp_path: Path) -> None:
    folder = make(tmp_path, "sft-s0-0123456789")
    (folder / "log.jsonl").write_text(
        '{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 2, "loss": 2.5}\n[1]\n{"step": 3, "lo'
    )
    log = collect(tmp_path).counted[0].log()
    assert log["loss"].to_dict() == {1: 3.0, 2: 2.5}
    (folder / "log.jsonl").unlink()
    assert len(collect(tmp_path).counted[0].log()) == 0


def test_scores(runs: Path) -> None:
    hybrid = next(run for run in collect(runs).finished("evaluation") if run.variant == "hybrid")
    scores = hybrid.scores()
    assert ("generalised", "cot") in scores and ("constant_box", "direct") in scores
    assert len(scores["generalised", "direct"]) == 120


@pytest.mark.parametrize("expected", [True, False])
def test_order(tmp_path: Path, runs: Path, expected: bool) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    plan = synthetic.names(variants=["base", "sft", "cot_sft", "cot", "hybrid"])
    finished = collect(tmp_path / "runs", plan if expected else ()).finished("evaluation")
    assert [run.variant for run in finished] == ["base", "sft", "cot_sft", "cot", "hybrid"]


def test_scores_that_are_damaged_or_of_an_earlier_version_say_so_and_are_left_out(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    synthetic.build(runs, synthetic.names((0, 1, 2), ["base", "sft"]), 20, 5)
    damaged, old, cut = (next(runs.glob(f"evaluate-sft-s{seed}-*")) for seed in range(3))
    (damaged / "scores-generalised-cot.parquet").write_bytes(b"PAR1 no more")
    table = pd.read_parquet(old / "scores-mig_bench-cot.parquet").drop(columns=["of", "average"], errors="ignore")
    table.to_parquet(old / "scores-mig_bench-cot.parquet")
    (old / "parameters.json").write_text(json.dumps({"id": old.name[-10:], "kind": "evaluate", "results_version": 3}))
    (cut / "official-odinw13-cot.json").write_text('{"headline": {')
    collection = collect(runs)
    notes = {run.directory: run.note for run in collection.counted if run.state == "unreadable"}
    assert set(notes) == {damaged, old, cut}
    assert "scores-generalised-cot.parquet" in notes[damaged] and "damaged" in notes[damaged]
    assert "no of" in notes[old] and "results version 3; this is" in notes[old]
    assert "official-odinw13-cot.json" in notes[cut] and all("launch again" in note for note in notes.values())
    assert set(numbers(collection, Draws(20))["variant"]) >= {"base"}

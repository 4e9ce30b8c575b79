"""Every command that README.md and docs/ name is executed by a test, or has a reason why not; its help can be read."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from papermill import inspect_notebook

from gemvg_repro.study.parameters import (
    DataParameters,
    EvaluateParameters,
    Parameters,
    ReportParameters,
    TrainParameters,
)

from .commands import PAGES, commands
from .markdown import ROOT
from .test_howtos import copy_of_the_project, run

PREFLIGHT = "../preflight/test_checks.py::test_the_command_names_what_is_wrong_with_the_7b"
PLAN = "test_commands.py::test_plans_of_the_grids"
STUDY = "../slurm/test_study.py::test_the_study_through_slurm_preempted_in_sft_and_in_grpo_has_the_local_runs_numbers"
OPEN = "test_commands.py::test_results_are_opened"

EXECUTED = {
    "make study": STUDY,
    "python sweeps/launch.py": STUDY,
    "python -m gemvg_repro.runs.bundle read results/seed0.tar.xz opened": OPEN,
    "papermill notebooks/report.ipynb opened/report.ipynb -p runs opened": OPEN,
    "python -m gemvg_repro.report.page.html opened/report.ipynb": OPEN,
    "papermill notebooks/train.ipynb 'runs/train-{mode}.ipynb' -p mode hybrid": (
        "../test_notebooks.py::test_one_command_makes_all_that_it_needs"
    ),
    "papermill notebooks/evaluate.ipynb 'runs/evaluate-{mode}.ipynb' -p mode hybrid": (
        "../test_notebooks.py::test_evaluation_leaves_predictions_scores_and_a_gallery"
    ),
    "papermill notebooks/train.ipynb --help-notebook": "test_commands.py::test_every_parameter_is_explained",
    'python -m gemvg_repro.ask runs/hybrid-s0-* one.jpg two.jpg "Find every dog."': (
        "../test_ask.py::test_both_modes_are_asked_and_drawn"
    ),
    "python sweeps/launch.py --dry-run": PLAN,
    "python sweeps/launch.py --seeds 0 1 2 3 4": PLAN,
    "python sweeps/launch.py --set grpo.rollouts=16": PLAN,
    "python sweeps/launch.py sweeps/controls.yaml": PLAN,
    "python sweeps/launch.py sweeps/rewards.yaml": PLAN,
    "python sweeps/launch.py sweeps/sources.yaml": PLAN,
    "python sweeps/launch.py --status": "../sweeps/test_launch.py::test_from_another_shell_it_is_looked_at_and_ended",
    "papermill notebooks/train.ipynb runs/mine.ipynb -p mode sft -p data path/to/annotations.json": (
        "../test_raccoon.py::test_photographs_are_learned_by_heart"
    ),
    "papermill notebooks/evaluate.ipynb runs/mine-scores.ipynb -p mode sft -p data path/to/annotations.json": (
        "../test_raccoon.py::test_photographs_are_learned_by_heart"
    ),
    "python -m gemvg_repro.benchmarks.score mig_bench --annotations MIG-Bench/MIG_data.json "
    "--predictions answers.jsonl": ("../benchmarks/test_score.py::test_the_golden_responses_through_the_command"),
    "python -m gemvg_repro.benchmarks.score --help": "../benchmarks/test_score.py::test_help_teaches",
    "papermill notebooks/evaluate.ipynb OUT.ipynb -p mode hybrid -p benchmarks 'mig_bench=/data/MIG-Bench'": (
        "../stages/test_published_benchmark.py::test_answers_are_kept_and_scored_as_the_command_does"
    ),
    "python -m gemvg_repro.preflight --profile paper --gpus 1 --memory 141": PREFLIGHT,
    "python -m gemvg_repro.preflight": PREFLIGHT,
    "python sweeps/launch.py sweeps/paper.yaml --set data=/data/mg_data/shards --set partition=gpu": (
        "../preflight/test_costs.py::test_the_grid_of_the_paper_asks_for_what_each_kind_needs"
    ),
    "python -m tools.doc_tables": "test_tables.py::test_tables_of_the_code_are_up_to_date",
    "python -m tools.doc_tables --runs runs": "test_tables.py::test_results_are_those_of_the_shipped_runs",
    "python -m tools.doc_tables --bundle results/seed0.tar.xz --grid sweeps/controls.yaml": (
        "test_tables.py::test_results_are_those_of_the_shipped_runs"
    ),
    "python -m gemvg_repro.report.other_models --help": (
        "../report/sections/test_paper_tables.py::test_another_model_s_answers_are_scored_as_ours_are"
    ),
    "papermill notebooks/data.ipynb runs/data.ipynb -p profile paper -p roots 'coco=/data/coco d3=/data/d3 "
    "star=/data/star' -p exclude 'mig_bench=MIG-Bench/MIG_data.json,MIG-Bench/images'": (
        "../stages/test_composed_study.py::test_the_notebook_tells_what_is_in_it"
    ),
    "papermill notebooks/train.ipynb runs/mine.ipynb -p profile paper -p mode sft -p data "
    "runs/mg_data-.../mg_data/shards": "../stages/test_composed_study.py::test_training_reads_each_stage_s_samples",
    "python -m gemvg_repro.miniature.exports.sources FOLDER": (
        "../miniature/exports/test_sources.py::test_the_command_says_how_to_go_on"
    ),
    "python -m gemvg_repro.corpora.mg_data --help": "../corpora/test_builder.py::test_the_command_makes_and_repeats",
    "python -m gemvg_repro.miniature.pretraining.train FOLDER": (
        "../miniature/pretraining/test_train.py::test_resumed_is_undisturbed"
    ),
    "python -m gemvg_repro.report.numbers.pilot": "../report/numbers/test_power.py::test_a_pilot_is_stored_and_read",
    "python -m tools.interval_coverage": ("../tools/test_interval_coverage.py::test_most_intervals_hold_the_truth"),
    "python -m tools.faults 30": (
        "../tools/test_faults.py::test_a_study_that_is_struck_in_every_stage_has_the_undisturbed_numbers"
    ),
    "python -m tools.killed_saves": (
        "../tools/test_killed_saves.py::test_saves_that_are_killed_or_fail_lose_no_sealed_checkpoint"
    ),
    "python -m tools.one_host_slurm up": "../slurm/test_commands.py::test_cancel_ends_a_line_and_retry_takes_it_up",
    'eval "$(python -m tools.one_host_slurm env)"': (
        "../slurm/test_commands.py::test_cancel_ends_a_line_and_retry_takes_it_up"
    ),
    "python -m tools.one_host_slurm down": "../slurm/test_commands.py::test_cancel_ends_a_line_and_retry_takes_it_up",
}
"""The test, from this folder, that executes the command, often smaller, or with other names, or by its function."""

CI, INSTALLS = "it is what runs the tests: .ci/run", "it installs the project; .ci/run does, by `make install`"
MEASURES = "it measures for minutes and longer; what it printed stands in the log"
NOT = {
    "make test": CI,
    "make test-all": CI,
    "make lint": CI,
    "make test-gpu": "it needs a GPU",
    "make install": INSTALLS,
    ".venv/bin/python -m pytest tests/grounding/test_boxes.py": CI,
    "python3.11 -m venv .venv && .venv/bin/pip install torch==2.13.0 --index-url "
    "https://download.pytorch.org/whl/cpu": INSTALLS,
    ". .venv/bin/activate; mkdir -p runs": INSTALLS,
    "conda env create -f environment.yml && conda activate gemvg": "conda is not installed where tests run",
    "hf download Qwen/Qwen2-VL-7B-Instruct": "16 GB, and tests run without a network",
    "python -m tools.training_speed": MEASURES,
    "python -m tools.step_overhead": MEASURES,
    "python -m tools.memory_estimate miniature third": MEASURES,
    "python -m tools.slurm_overhead": MEASURES,
    "python -m tools.composition_speed FOLDER": MEASURES,
    "python -m tools.report_speed": MEASURES,
}
"""Why no test executes the command."""

WITHOUT_HELP = (
    "gemvg_repro/files/pickles.py",
    "gemvg_repro/preflight/cuts.py",
    "gemvg_repro/launching/nodes.py",
    "gemvg_repro/stages/training_process.py",
    "gemvg_repro/report/page/html.py",
)
"""Started by the package itself; html.py by people, too: its one argument is in its docstring."""

NOTEBOOKS: dict[str, type[Parameters]] = {
    "data": DataParameters, "train": TrainParameters, "evaluate": EvaluateParameters, "report": ReportParameters
}  # fmt: skip


def test_every_command_is_executed_or_has_a_reason() -> None:
    named = {command for page in PAGES for command in commands(page)}
    assert named == {*EXECUTED, *NOT}, f"not listed, or listed and not named: {sorted(named ^ {*EXECUTED, *NOT})}"
    assert not {*EXECUTED} & {*NOT}


def test_every_test_that_is_named_exists() -> None:
    for test in set(EXECUTED.values()):
        file, _, function = test.partition("::")
        assert f"def {function}(" in (Path(__file__).parent / file).read_text("utf-8"), test


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_parameter_is_explained(notebook: str) -> None:
    """papermill shows no parameter whose line has a second equals sign, and no type where none is written."""
    rows = inspect_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb"))
    assert set(rows) == set(NOTEBOOKS[notebook].model_fields)
    assert all(each["help"] and each["inferred_type_name"] != "None" for each in rows.values())


def test_every_command_has_help() -> None:
    for folder in ("gemvg_repro", "tools", "sweeps"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text("utf-8")
            path = file.relative_to(ROOT).as_posix()
            if 'if __name__ == "__main__"' in text and path not in WITHOUT_HELP:
                assert "ArgumentParser(" in text and "description=" in text, f"{path} has no --help"
                assert ast.get_docstring(ast.parse(text)), path


@pytest.mark.slow
def test_plans_of_the_grids(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    for command in (command for command, test in EXECUTED.items() if test == PLAN):
        plan = run(f"{command.removesuffix(' --dry-run')} --dry-run --cluster local", project)
        assert "missing" in plan and "report.ipynb ->" in plan, command


@pytest.mark.slow
def test_results_are_opened(tmp_path: Path) -> None:
    """In the order of the README, from the shipped runs."""
    project = copy_of_the_project(tmp_path)
    shutil.copytree(ROOT / "results", project / "results")
    for command in (command for command, test in EXECUTED.items() if test == OPEN):
        run(command, project)
    assert "GRPO, hybrid" in (project / "opened" / "report.html").read_text("utf-8")

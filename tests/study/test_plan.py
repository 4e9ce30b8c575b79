"""From a grid to jobs, checked as a whole before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import papermill
import pytest

from gemvg_repro.study.grid import Grid
from gemvg_repro.study.parameters import ParameterError, TrainParameters
from gemvg_repro.study.plan import Job, check_notebook, plan, select

from .. import tiny_project

ALL = "[sft, cot_sft, cot, direct, hybrid]"


def jobs_of(root: Path, seeds: list[int] | None = None) -> tuple[Job, ...]:
    file = root / "sweeps" / "miniature.yaml"
    return plan(Grid.load(file, seeds), file, root, root / "runs")


def names(jobs: tuple[Job, ...]) -> list[str]:
    return [job.name for job in jobs]


def finish(job: Job) -> None:
    job.folder.mkdir(parents=True)
    (job.folder / "result.json").write_text(json.dumps({"id": job.key.rpartition("-")[2]}))


def test_the_whole_grid_in_order(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, ALL))
    trainings = ["data", "sft-s0", "cot_sft-s0", "cot-s0", "direct-s0", "hybrid-s0"]
    assert names(jobs) == [*trainings, *(f"evaluate-{name}" for name in trainings[1:]), "report"]
    by_name = {job.name: job for job in jobs}
    seen: set[str] = set()
    for job in jobs:
        assert set(job.needs) <= seen
        seen.add(job.key)
    assert by_name["hybrid-s0"].needs == (by_name["cot_sft-s0"].key, by_name["data"].key)
    assert by_name["hybrid-s0"].parameters == {
        "profile": "miniature",
        "runs": str(tmp_path / "runs"),
        "overrides": "",
        "mode": "hybrid",
        "seed": 0,
        "data": "",
        "images": "",
        "steps": 0,
        "prerequisites": "require",
    }
    assert not (tmp_path / "runs").exists()


def test_a_variant_brings_what_it_needs_and_seeds_share_the_data(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, "[direct]"), seeds=[0, 1])
    chain = [f"{mode}-s{seed}" for seed in (0, 1) for mode in ("sft", "cot_sft", "direct")]
    assert names(jobs) == ["data", *chain, "evaluate-direct-s0", "evaluate-direct-s1", "report"]
    assert jobs[-1].parameters["seeds"] == [0, 1]


def test_the_base_is_evaluated_once_and_not_trained(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, "[base, sft]"), seeds=[0, 1])
    trainings = ["data", "sft-s0", "sft-s1"]
    assert names(jobs) == [*trainings, "evaluate-base", "evaluate-sft-s0", "evaluate-sft-s1", "report"]
    base = next(job for job in jobs if job.name == "evaluate-base")
    assert base.seed is None and base.needs == (jobs[0].key,)


def test_the_grids_of_the_project(tmp_path: Path) -> None:
    planned = {}
    for name in ("miniature", "controls", "rewards", "sources"):
        file = tiny_project.CHECKOUT / "sweeps" / f"{name}.yaml"
        planned[name] = names(plan(Grid.load(file), file, tiny_project.CHECKOUT, tmp_path))
    assert {"sft_more-s0", "evaluate-base"} <= set(planned["miniature"]) < set(planned["controls"])
    assert {"joint-s0", "shuffled-s0", "evaluate-hybrid_8-s0"} <= set(planned["controls"])
    alone = "hybrid-grpo.weights.f1=0-grpo.weights.format=0-grpo.weights.localisation=1-s0"
    assert {"hybrid-s0", "hybrid-grpo.loss_type=grpo-s0", alone} <= set(planned["rewards"])
    assert sum(name.startswith("data-data.composition.without=") for name in planned["sources"]) == 6
    assert len(Grid.load(tiny_project.CHECKOUT / "sweeps" / "paper.yaml").benchmark_groups()) == 8


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("scientific: {mode: [sft]}\nnuisence: {seed: [0]}", "nuisence: Extra inputs"),
        ("scientific: {mod: [sft]}", "no axis 'mod'; did you mean 'mode'"),
        ("scientific: {mode: [sft, hybird]}", "'hybird'.*did you mean 'hybrid'"),
        ("scientific: {mode: [sft]}\nfixed: {seed: -1}", "seed = -1"),
        ("scientific: {mode: [sft]}\nresources: {cluster: cloud}", "resources.cluster"),
        ("scientific: {mode: [sft]", "is not YAML"),
        ("scientific: {mode: []}", "scientific.mode: List should have at least 1 item"),
        ("scientific: {mode: [sft]}\nnuisance: seeds", "nuisance: Input should be a"),
        ("", "is no grid"),
    ],
)
def test_a_wrong_grid_is_refused(tmp_path: Path, grid: str, words: str) -> None:
    root = tiny_project.project(tmp_path)
    (root / "sweeps" / "miniature.yaml").write_text(grid)
    with pytest.raises(ParameterError, match=rf"(?s){words}"):
        jobs_of(root)


def test_a_wrong_setting_is_told_as_one(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    file = root / "sweeps" / "miniature.yaml"
    with pytest.raises(ParameterError, match=r"--set steps=\[: the value is not YAML"):
        Grid.load(file, settings=["steps=["])
    file.write_text("scientific: {mode: [sft]}\nnuisance: seeds")
    with pytest.raises(ParameterError, match=r"nuisance: Input should be a"):
        Grid.load(file, settings=["steps=5"])


def test_seeds_replace_the_grid_s_wherever_it_has_them(tmp_path: Path) -> None:
    for axes in ("scientific: {mode: [sft], seed: [7]}", "scientific: {mode: [sft]}\nfixed: {seed: 7}"):
        (tmp_path / "grid.yaml").write_text(axes)
        assert [point["seed"] for point in Grid.load(tmp_path / "grid.yaml", [3, 4]).points()] == [3, 4]


def test_data_of_a_grid_is_found_from_wherever_the_grid_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny_project.project(tmp_path / "project")
    monkeypatch.chdir(root)
    (root / "grid.yaml").write_text("scientific: {mode: [sft], data: [mine/a.json, '']}")
    dumped = Grid.load(root / "grid.yaml").dump()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(dumped)
    read = Grid.load(tmp_path / "grid.yaml")
    assert read.scientific["data"] == [str(root / "mine" / "a.json"), ""]


def test_a_grid_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no grid .*other.yaml"):
        Grid.load(tmp_path / "other.yaml")


def test_a_notebook_that_disagrees_with_its_model_is_refused(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    file = root / "notebooks" / "train.ipynb"
    check_notebook(file, TrainParameters)
    inspected = papermill.inspect_notebook(str(file))  # papermill reads the same names
    assert set(inspected) == set(TrainParameters.model_fields)
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace("seed = 0", "sede = 0")
    nbformat.write(notebook, file)
    with pytest.raises(ParameterError, match=r"train.ipynb disagrees with TrainParameters about sede, seed"):
        jobs_of(root)


def test_only_selects_by_name_and_brings_unfinished_needs(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, ALL))
    by_name = {job.name: job for job in jobs}
    chain = ["data", "sft-s0", "cot_sft-s0", "hybrid-s0"]
    assert names(select(jobs, [])) == names(jobs)
    assert names(select(jobs, ["hybrid*"])) == [*chain, "report"]
    assert names(select(jobs, ["hybrid*", "!report"])) == chain
    assert names(select(jobs, ["report"])) == ["report"]
    finish(by_name["cot_sft-s0"])
    finish(by_name["data"])
    assert names(select(jobs, ["hybrid*", "!cot_sft*", "!report"])) == ["hybrid-s0"]


def test_only_refuses_what_cannot_be(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, ALL))
    with pytest.raises(ParameterError, match=r"'hybird\*' matches no run.*hybrid-s0"):
        select(jobs, ["hybird*"])
    with pytest.raises(ParameterError, match="excludes cot_sft-s0, which is not finished"):
        select(jobs, ["hybrid*", "!cot_sft*"])


def test_a_grid_survives_being_written_down(tmp_path: Path) -> None:
    root = tiny_project.project(
        tmp_path, ALL, "{cluster: slurm, gpus: 2, setup: [module load cuda], kinds: {report: {gpus: 0}}}"
    )
    grid = Grid.load(root / "sweeps" / "miniature.yaml", [3, 4], ["steps=5", "partition=gpu"])
    (tmp_path / "again.yaml").write_text(grid.dump())
    assert Grid.load(tmp_path / "again.yaml") == grid
    assert grid.fixed["steps"] == 5 and grid.resources.partition == "gpu" and grid.nuisance["seed"] == [3, 4]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("resources: {timeout_min: 24:00:00}", "24:00:00 is 86400 in YAML, in base 60"),
        ("nuisance: {seed: [010]}", "010 is 8 in YAML, in base 8"),
    ],
)
def test_numbers_that_yaml_reads_otherwise_are_refused(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(f"scientific: {{mode: [sft]}}\n{line}\n")
    with pytest.raises(ParameterError, match=message):
        Grid.load(file)
    key, _, value = line.partition(": {")[2].rstrip("}").partition(": ")
    file.write_text("scientific: {mode: [sft]}\n")
    with pytest.raises(ParameterError, match=message):
        Grid.load(file, settings=[f"{key}={value}"])
    assert Grid.load(file, settings=["timeout_min=1440", "seed=0"]).resources.timeout_min == 1440

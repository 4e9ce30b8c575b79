"""Benchmarks, and values of the profile, as axes of a grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files.validation import Refused
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.parameters import DataParameters, ParameterError, TrainParameters
from gemvg_repro.study.plan import Job, plan
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import resolve
from gemvg_repro.study.variants import TRAINED

from .. import tiny_project
from ..benchmarks.suites.test_mig_bench_file import RECORDS
from ..corpora.made import write

HEAD = "fixed: {profile: miniature}\nscientific: "


def jobs_of(tmp_path: Path, grid: str, *settings: str, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Job]:
    file = tmp_path / "grid.yaml"
    file.write_text(HEAD + grid)
    jobs = plan(Grid.load(file, seeds, settings), file, tiny_project.CHECKOUT, tmp_path / "runs", "remember")
    assert len({job.name for job in jobs}) == len(jobs)
    return {job.name: job for job in jobs}


def needs(job: Job) -> list[str]:
    return [key.rpartition("-")[0] for key in job.needs]


def test_each_variant_and_seed_is_evaluated_on_each_benchmark_in_a_run_of_its_own(tmp_path: Path) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    grid = f"{{mode: [base, sft]}}\nbenchmarks: {{mig_bench: {tmp_path}/MIG-Bench, EXPORTS}}"
    both = "small: {mc_bench: exported, muirbench: exported}"
    jobs = jobs_of(tmp_path, grid.replace("EXPORTS", both))
    assert list(jobs) == [
        "data", "sft-s0", "sft-s1",
        "evaluate-base", "evaluate-sft-s0", "evaluate-sft-s1",
        "evaluate-base-mig_bench", "evaluate-sft-mig_bench-s0", "evaluate-sft-mig_bench-s1",
        "evaluate-base-exports", "evaluate-sft-exports-s0", "evaluate-sft-exports-s1", "report",
    ]  # fmt: skip
    assert needs(jobs["evaluate-base-mig_bench"]) == [] and needs(jobs["evaluate-sft-mig_bench-s1"]) == ["sft-s1"]
    assert needs(jobs["evaluate-base-exports"]) == ["data"]
    assert needs(jobs["evaluate-sft-exports-s0"]) == ["sft-s0", "data"]
    more = jobs_of(tmp_path, grid.replace("EXPORTS", both), "data.benchmarks.mc_bench=50")
    kept = {job.key for job in jobs.values()}
    moved = {name.replace("-data.benchmarks.mc_bench=50", "") for name, job in more.items() if job.key not in kept}
    assert moved == {name for name in jobs if "exports" in name or name == "data"}
    one = jobs_of(tmp_path, grid.replace("EXPORTS", "mc_bench: exported"))
    assert one["evaluate-sft-mig_bench-s0"].key == jobs["evaluate-sft-mig_bench-s0"].key
    (tmp_path / "data").mkdir()
    given = jobs_of(tmp_path, grid.replace("EXPORTS", both), f"data={write(tmp_path / 'data')}")
    assert "evaluate-sft-mig_bench-s0" in given and not [name for name in given if "exports" in name]


@pytest.mark.parametrize(
    ("benchmarks", "error", "message"),
    [
        ("{mig-bench: /x}", ParameterError, "no benchmark 'mig-bench'; did you mean 'mig_bench'"),
        ("{blink: /x, small: {blink: /y}}", ParameterError, "blink is named twice"),
        ("{blink: /nowhere}", ParameterError, "blink = '/nowhere' is not there; expected the file or folder"),
        ("{blink: exported}", ParameterError, "blink is said to be exported, and the data of this study exports mig_"),
        ("{mc_bench: tests}", Refused, "has no annotations of mc_bench"),
    ],
)
def test_a_benchmark_that_is_not_there_is_refused_before_work_begins(
    tmp_path: Path, benchmarks: str, error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        jobs_of(tmp_path, f"{{mode: [sft]}}\nbenchmarks: {benchmarks}")


def test_a_setting_says_where_a_benchmark_is_or_leaves_it_out(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(f"{HEAD}{{mode: [sft]}}\nbenchmarks: {{blink: /x, mmiu: /y}}")
    grid = Grid.load(tmp_path / "grid.yaml", settings=["benchmarks.blink=null", "benchmarks.mmiu=/z"])
    assert grid.benchmark_groups() == [{"mmiu": "/z"}]
    (tmp_path / "again.yaml").write_text(grid.dump())
    assert Grid.load(tmp_path / "again.yaml") == grid


def test_values_of_the_profile_are_variants_that_share_what_they_do_not_touch(tmp_path: Path) -> None:
    default = jobs_of(tmp_path, "{mode: [base, sft, hybrid]}")
    jobs = jobs_of(tmp_path, "{mode: [base, sft, hybrid], grpo.weights.picture: [0.0, 0.5]}")
    extra = [f"{run}hybrid-grpo.weights.picture=0.5-s{seed}" for run in ("", "evaluate-") for seed in (0, 1)]
    assert set(jobs) - set(default) == set(extra)
    assert all(jobs[name].key == job.key for name, job in default.items() if name != "report")
    assert jobs[extra[0]].parameters["overrides"] == {"grpo.weights.picture": 0.5}
    assert needs(jobs[extra[0]]) == ["cot_sft-s0", "data"] and needs(jobs[extra[2]]) == [extra[0], "data"]
    earlier = jobs_of(tmp_path, "{mode: [hybrid], cot_sft.cot_share: [0.3]}", seeds=(0,))
    assert [name for name in earlier if "cot_share" not in name] == ["data", "sft-s0", "report"]
    assert jobs_of(tmp_path, "{mode: [sft]}", "evaluate.batch=50")["sft-s0"].key == default["sft-s0"].key


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{grpo.weights.cuont: [0]}", "no axis 'grpo.weights.cuont'; did you mean 'grpo.weights.count'"),
        ("{grpo.rolouts: [8]}", r"did you mean 'grpo.rollouts'\?\. Axes: mode, seed.*every value of the profile"),
        ("{mode: [hybrid], grpo.rollouts: [6]}", "with grpo.rollouts=6 miniature.yaml is no profile: .*4 must divide"),
        ("{grpo.weights: [{cuont: 0}]}", "the profile has no value 'grpo.weights.cuont'; did you mean"),
        ("{sft.steps: [many]}", "with sft.steps=many miniature.yaml is no profile: sft.steps: Input should be a valid"),
    ],
)
def test_a_value_that_the_profile_has_not_is_refused(tmp_path: Path, grid: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        jobs_of(tmp_path, grid)


def test_overrides_are_given_to_a_notebook_as_text_or_as_a_mapping() -> None:
    texts = "grpo.rollouts=16 'grpo.optimiser.betas=[0.9, 0.99]' sft.steps=660"
    mapping = {"grpo.rollouts": 16, "grpo.optimiser": {"betas": [0.9, 0.99]}}
    one, other = (resolve(TrainParameters.check({"mode": "cot", "overrides": each})) for each in (texts, mapping))
    assert one.identity == other.identity and one.parameters == other.parameters
    assert one.identity.name == "cot-grpo.optimiser.betas=_0.9_0.99_-grpo.rollouts=16-s0"
    assert (
        resolve(TrainParameters.check({"mode": "cot", "overrides": one.parameters.overrides})).identity == one.identity
    )
    assert one.grpo.rollouts == 16 and one.profile.overrides["grpo.rollouts"] == 16
    with pytest.raises(ParameterError, match="no NAME=VALUE; expected such as"):
        TrainParameters.check({"overrides": "grpo.rollouts"})


@pytest.mark.parametrize("mode", [*TRAINED, "data"])
def test_an_override_names_a_run_just_where_it_moves_its_id(mode: str) -> None:
    """Every value of the profile that has a neighbour of its kind."""
    profile = load_profile("miniature")
    parameters = {"mode": mode} if mode != "data" else {}
    kind = TrainParameters if parameters else DataParameters
    plain = resolve(kind.check(parameters)).identity
    for name, value in {
        "coordinate_step": 10, "dtype": "bfloat16", "base": "elsewhere", "threads.sft": 1, "threads.data": 1,
        "data.seed": 5, "data.benchmarks.mig_bench": 13, "data.recipe.test": 10, "data.recipe.validation": 11,
        "data.composition.without": "spatial", "sft.steps": 9, "cot_sft.cot_share": 0.1, "grpo.beta": 0.1,
        "evaluate.batch": 3,
    }.items():  # fmt: skip
        changed = resolve(kind.check({**parameters, "overrides": {name: value}})).identity
        assert (changed.id != plain.id) == bool(changed.overrides) == (changed.name != plain.name), name
    assert profile.overrides == {}

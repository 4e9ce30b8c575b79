"""Which arrays a plan becomes, and their dependencies: without a Slurm."""

from __future__ import annotations

from pathlib import Path

from gemvg_repro.launching.slurm_arrays import gpu_hours, mark_to_submit, plan_arrays
from gemvg_repro.launching.status import JobStatus
from gemvg_repro.launching.submissions import Submission
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import plan
from gemvg_repro.study.resources import Resources

from .. import tiny_project

MODES = "[sft, cot_sft, hybrid]"


def statuses(root: Path, seeds: list[int]) -> dict[str, JobStatus]:
    file = root / "sweeps" / "miniature.yaml"
    return {job.name: JobStatus(job, "missing") for job in plan(Grid.load(file, seeds), file, root, root / "runs")}


def test_one_array_a_variant_over_all_seeds_in_step(tmp_path: Path) -> None:
    by_name = statuses(tiny_project.project(tmp_path, MODES), [0, 1, 2])
    by_name["sft-s1"].state = "finished"
    arrays = plan_arrays(list(by_name.values()), Resources(gpus=2, timeout_min=60), 1001)
    names = ["data", "sft", "cot_sft", "hybrid", "evaluate-sft", "evaluate-cot_sft", "evaluate-hybrid", "report"]
    assert [array.name for array in arrays] == names
    ids = {number: str(100 + number) for number in range(len(arrays) - 1)}
    waits = {array.name: array.dependency({n: i for n, i in ids.items() if n < k}) for k, array in enumerate(arrays)}
    assert waits["data"] is None and waits["sft"] == "afterok:100"
    assert waits["hybrid"] == "afterok:100,aftercorr:102"
    assert waits["evaluate-hybrid"] == "afterok:100,aftercorr:103"
    assert waits["report"] == ",".join(f"afterany:{i}" for i in ids.values())
    assert [job and job.seed for job in arrays[1].jobs] == [0, None, 2]  # the finished one rides along
    assert gpu_hours(arrays) == 2 * (1 + 2 + 5 * 3 + 1)


def test_one_seed_makes_plain_jobs(tmp_path: Path) -> None:
    arrays = plan_arrays(list(statuses(tiny_project.project(tmp_path, MODES), [0]).values()), Resources(), 1001)
    assert arrays[2].dependency({0: "7", 1: "8"}) == "afterok:7,afterok:8"


def test_arrays_are_no_longer_than_they_may_be(tmp_path: Path) -> None:
    arrays = plan_arrays(list(statuses(tiny_project.project(tmp_path, "[sft]"), [0, 1, 2]).values()), Resources(), 2)
    assert [(array.name, len(array.jobs)) for array in arrays] == [
        *(("data", 1), ("sft", 2), ("evaluate-sft", 2), ("sft", 1), ("evaluate-sft", 1), ("report", 1))
    ]
    assert arrays[2].corresponding == (1,) and arrays[4].corresponding == (3,)


def test_a_seed_waits_alone_for_its_run_of_an_earlier_launch(tmp_path: Path) -> None:
    by_name = statuses(tiny_project.project(tmp_path, "[sft]"), [0, 1, 2])
    by_name["data"].state = "finished"
    by_name["sft-s1"].state, by_name["sft-s1"].slurm = "running", Submission("7_1", tmp_path)
    arrays = plan_arrays(list(by_name.values()), Resources(), 1001)
    assert [(a.name, [j and j.seed for j in a.jobs], a.others) for a in arrays[:-1]] == [
        ("sft", [0, 2], ()),
        ("evaluate-sft", [0, 2], ()),
        ("evaluate-sft", [1], ("7_1",)),
    ]
    assert arrays[-1].dependency({0: "8", 1: "9", 2: "10"}) == "afterany:8,afterany:9,afterany:10,afterany:7"


def test_nothing_is_repeated_blindly(tmp_path: Path) -> None:
    by_name = statuses(tiny_project.project(tmp_path, MODES), [0])
    by_name["data"].state = "finished"
    by_name["sft-s0"].state = "failed"
    states = {e.job.name: (e.state, e.note) for e in mark_to_submit(list(by_name.values()), retry=False)}
    assert states["sft-s0"] == ("failed", "") and states["evaluate-hybrid-s0"] == ("blocked", "sft-s0")
    assert {e.state for e in mark_to_submit(list(by_name.values()), retry=True)} == {"finished", "missing"}

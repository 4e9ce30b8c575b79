"""What runs need, and in which arrays they go to Slurm: without one."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from gemvg_repro.files.file_system import NETWORK, file_system
from gemvg_repro.launching.notebook import NotebookFailed, failure_of
from gemvg_repro.launching.slurm import _minutes
from gemvg_repro.launching.slurm_arrays import arrays, gpu_hours, to_submit
from gemvg_repro.launching.slurm_job import STALLED_OFTEN, Attempt
from gemvg_repro.launching.status import Entry
from gemvg_repro.launching.submissions import Submission
from gemvg_repro.runs.layout import job_folder, stop_file
from gemvg_repro.study.plan import Grid, plan
from gemvg_repro.study.resources import Needs, Resources

from .. import tiny_project

MODES = "[sft, cot_sft, hybrid]"


def entries(root: Path, seeds: list[int]) -> dict[str, Entry]:
    file = root / "sweeps" / "miniature.yaml"
    return {job.name: Entry(job, "missing") for job in plan(Grid.load(file, seeds), file, root, root / "runs")}


def test_kinds_may_need_something_else() -> None:
    resources = Resources(gpus=4, timeout_min=600, kinds={"evaluate": {"gpus": 1}, "report": {"gpus": 0}})
    assert [resources.needs(kind).gpus for kind in ("hybrid", "evaluate", "report")] == [4, 1, 0]
    assert resources.needs("evaluate").timeout_min == 600


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"timeout_min": 3}, "expected timeout_min 4 or more, or a smaller signal_s"),
        ({"kinds": {"evaluate": {"timeout_min": 1}}}, "leaves no time to work"),
        ({"kinds": {"sftt": {}}}, "no kind 'sftt'; there are data, sft"),
        ({"kinds": {"sft": {"gpu": 1}}}, "Extra inputs"),
        ({"cluster": "cloud"}, "'auto', 'local' or 'slurm'"),
    ],
)
def test_wrong_resources_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Resources.model_validate(wrong)


def test_one_array_a_variant_over_all_seeds_in_step(tmp_path: Path) -> None:
    known = entries(tiny_project.project(tmp_path, MODES), [0, 1, 2])
    known["sft-s1"].state = "finished"
    made = arrays(list(known.values()), Resources(gpus=2, timeout_min=60), 1001)
    names = ["data", "sft", "cot_sft", "hybrid", "evaluate-sft", "evaluate-cot_sft", "evaluate-hybrid", "report"]
    assert [array.name for array in made] == names
    ids = {number: str(100 + number) for number in range(len(made) - 1)}
    waits = {array.name: array.dependency({n: i for n, i in ids.items() if n < k}) for k, array in enumerate(made)}
    assert waits["data"] is None and waits["sft"] == "afterok:100"
    assert waits["hybrid"] == "afterok:100,aftercorr:102"
    assert waits["evaluate-hybrid"] == "afterok:100,aftercorr:103"
    assert waits["report"] == ",".join(f"afterany:{i}" for i in ids.values())
    assert [job and job.seed for job in made[1].jobs] == [0, None, 2]  # the finished one rides along
    assert gpu_hours(made) == 2 * (1 + 2 + 5 * 3 + 1)


def test_one_seed_makes_plain_jobs(tmp_path: Path) -> None:
    made = arrays(list(entries(tiny_project.project(tmp_path, MODES), [0]).values()), Resources(), 1001)
    assert made[2].dependency({0: "7", 1: "8"}) == "afterok:7,afterok:8"


def test_arrays_are_no_longer_than_they_may_be(tmp_path: Path) -> None:
    made = arrays(list(entries(tiny_project.project(tmp_path, "[sft]"), [0, 1, 2]).values()), Resources(), 2)
    assert [(array.name, len(array.jobs)) for array in made] == [
        *(("data", 1), ("sft", 2), ("evaluate-sft", 2), ("sft", 1), ("evaluate-sft", 1), ("report", 1))
    ]
    assert made[2].corresponding == (1,) and made[4].corresponding == (3,)


def test_a_seed_waits_alone_for_its_run_of_an_earlier_launch(tmp_path: Path) -> None:
    known = entries(tiny_project.project(tmp_path, "[sft]"), [0, 1, 2])
    known["data"].state = "finished"
    known["sft-s1"].state, known["sft-s1"].slurm = "running", Submission("7_1", tmp_path)
    made = arrays(list(known.values()), Resources(), 1001)
    assert [(a.name, [j and j.seed for j in a.jobs], a.others) for a in made[:-1]] == [
        ("sft", [0, 2], ()),
        ("evaluate-sft", [0, 2], ()),
        ("evaluate-sft", [1], ("7_1",)),
    ]
    assert made[-1].dependency({0: "8", 1: "9", 2: "10"}) == "afterany:8,afterany:9,afterany:10,afterany:7"


def test_nothing_is_repeated_blindly(tmp_path: Path) -> None:
    known = entries(tiny_project.project(tmp_path, MODES), [0])
    known["data"].state = "finished"
    known["sft-s0"].state = "failed"
    standing = {e.job.name: (e.state, e.note) for e in to_submit(list(known.values()), retry=False)}
    assert standing["sft-s0"] == ("failed", "") and standing["evaluate-hybrid-s0"] == ("blocked", "sft-s0")
    assert {e.state for e in to_submit(list(known.values()), retry=True)} == {"finished", "missing"}


def test_an_attempt_that_never_finishes_a_step_is_not_requeued_for_ever(tmp_path: Path) -> None:
    job = entries(tiny_project.project(tmp_path), [0])["sft-s0"].job
    job_folder(job.folder).mkdir(parents=True)
    job.folder.mkdir(parents=True)
    attempt = Attempt(job, tmp_path, Needs(timeout_min=10))
    for _ in range(STALLED_OFTEN - 1):
        attempt._began = time.monotonic() - 400
        attempt = attempt.checkpoint().function
        assert stop_file(job.folder).exists()
    attempt._began = time.monotonic() - 400
    with pytest.raises(NotebookFailed, match="10 min 3 times in a row without finishing a step; raise timeout_min"):
        attempt.checkpoint()
    assert "raise timeout_min" in failure_of(job).read_text()
    (job.folder / "progress.json").write_text('{"step": 1}')  # but one that does has all the time in the world
    assert attempt.checkpoint().function._stalled == 0


@pytest.mark.parametrize(("limit", "minutes"), [("30:00", 30), ("1:00:00", 60), ("2-00:00:30", 2880.5)])
def test_time_limits_as_sinfo_writes_them(limit: str, minutes: float) -> None:
    assert _minutes(limit) == minutes and _minutes("infinite") == math.inf


def test_the_file_system_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert file_system(tmp_path / "not" / "yet") == file_system(tmp_path) != "unknown"
    assert "nfs4".startswith(NETWORK) and not "ext4".startswith(NETWORK)

"""Which job of Slurm is a run's, and which only has its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemvg_repro.launching.slurm import QueuedJob
from gemvg_repro.launching.submissions import Submission, Submissions, comment_of

OURS = Submission("17_3", Path("log"), "sft", "ann", "lab", "gemvg 0001-x 0", "/runs/.jobs/code/1")


@pytest.mark.parametrize(
    ("queued", "same"),
    [
        (QueuedJob("17_3", "RUNNING", name="sft", user="ann", comment="gemvg 0001-x 0"), True),
        (QueuedJob("17_3", "RUNNING", name="sft", user="ann", comment="gemvg 0001-y 0"), False),
        (QueuedJob("17_3", "RUNNING", name="evaluate-sft", user="ann", comment="gemvg 0001-x 0"), False),
        (QueuedJob("17_3", "RUNNING", name="sft", user="bob", comment="gemvg 0001-x 0"), False),
        # Of the accounting, which keeps comments only where a cluster is configured so.
        (QueuedJob("17_3", "COMPLETED", name="sft", user="ann", cluster="lab", work_dir="/runs/.jobs/code/1"), True),
        (QueuedJob("17_3", "COMPLETED", name="sft", user="ann", cluster="lab", work_dir="/elsewhere"), False),
        (QueuedJob("17_3", "COMPLETED", name="sft", user="ann", cluster="new", work_dir="/runs/.jobs/code/1"), False),
    ],
)
def test_a_number_counts_only_with_the_jobs_own_marks(queued: QueuedJob, same: bool) -> None:
    assert OURS.is_(queued) == same


def test_a_record_without_a_number_is_found_by_its_comment_and_a_stray_folder_is_left_alone(tmp_path: Path) -> None:
    submissions = Submissions(tmp_path)
    for stray in ("notes-of mine", "0002", "x-1"):
        (submissions.folder / stray).mkdir(parents=True)
    launch = submissions.new_launch_name()
    assert launch.startswith("0001-")
    submissions.announce(launch, 0, ["sft-s0-1"], "sft", "lab", tmp_path)
    assert submissions.new_launch_name().startswith("0002-")
    assert submissions.latest(submissions.records(), {}) == {}  # it never reached Slurm
    taken = {"5": QueuedJob("5", "PENDING", comment=comment_of(launch, 0))}
    assert submissions.latest(submissions.records(), taken)["sft-s0-1"].job == "5"

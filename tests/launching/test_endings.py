"""Why a job ended without a result, from what Slurm and its log say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemvg_repro.launching.endings import ended_reason
from gemvg_repro.launching.slurm import QueuedJob
from gemvg_repro.launching.submissions import Submission


def failed(reason: str, exit_code: str, state: str = "FAILED") -> QueuedJob:
    return QueuedJob("7", state, "n1", reason, exit_code)


SETUP = "setup failed with exit code 1 at: module load cuda"


@pytest.mark.parametrize(
    ("queued", "log", "expected"),
    [
        (failed("NonZeroExitCode", "137:0"), "", "job 7 ended as FAILED: its process was killed by SIGKILL;"),
        (failed("NonZeroExitCode", "0:9"), "", "job 7 ended as FAILED: its process was killed by SIGKILL;"),
        (failed("NonZeroExitCode", "2:0"), "a\nno node\n", "its exit code was 2; its log ends: no node;"),
        (failed("NonZeroExitCode", "1:0"), f"{SETUP}\nslurmstepd: error\n", f"its log ends: {SETUP};"),
        (failed("JobLaunchFailure", "15:53"), None, "node n1 could not launch it: it must see and be able to write"),
        (failed("OutOfMemory", "0:125", "OUT_OF_MEMORY"), "", "OUT_OF_MEMORY (OutOfMemory): it took more memory than"),
        (failed("BadConstraints", "0:0"), "", "job 7 ended as FAILED (BadConstraints); --retry"),
        (None, "", "Slurm does not know job 7 any more"),
    ],
)
def test_the_reason_has_slurms_words_the_exit_code_and_the_last_line_of_the_log(
    tmp_path: Path, queued: QueuedJob | None, log: str | None, expected: str
) -> None:
    file = tmp_path / "7_0_log.out"
    if log is not None:
        file.write_text(log)
    reason = ended_reason(Submission("7", file), queued)
    assert expected in reason and reason.endswith("; --retry submits it again")

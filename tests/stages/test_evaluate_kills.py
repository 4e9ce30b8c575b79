"""kill -9 at ten moments of an evaluation, then the same command: no answer lost, none twice, the same scores.

A moment is a number of answers that are on the disk, drawn by a seed and spread over the whole evaluation, so that no
machine is too fast for it. While the owner stands still (SIGSTOP) it is seen that it is not over; then it is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
import pytest

from gemvg_repro.miniature.exports import benchmarks
from gemvg_repro.runs.ownership import owner_of

from ..test_notebooks import ROOT

KILLS = 10


@dataclass(frozen=True)
class Evaluation:
    """A command of the real notebook, its run, and how many answers it comes to."""

    given: dict[str, object]
    run: str
    answers: int

    def start(self, runs: Path) -> subprocess.Popen[str]:
        runs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks/evaluate.ipynb"), str(runs / "out.ipynb")]
        for name, value in (self.given | {"runs": runs}).items():
            command += ["-p", name, str(value)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def files(self, runs: Path) -> list[Path]:
        return sorted(runs.glob(f"{self.run}/predictions-*.jsonl"))

    def answered(self, runs: Path) -> int:
        """Whole lines but the headers."""
        return sum(max(path.read_bytes().count(b"\n") - 1, 0) for path in self.files(runs))

    def finish(self, runs: Path) -> tuple[dict[str, list[str]], dict[str, object]]:
        """The lines of predictions by file, and the scores, of the evaluation carried to its end."""
        process = self.start(runs)
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out[-3000:]
        (run,) = runs.glob(self.run)
        lines = {path.name: path.read_text().splitlines()[1:] for path in self.files(runs)}
        return lines, json.loads((run / "result.json").read_text())["metrics"]

    def kill(self, runs: Path, answers: int) -> int:
        """Kills the run's owner once so many answers are there; how many there are then."""
        process, deadline = self.start(runs), time.monotonic() + 400
        owner = None
        while owner is None or not _lives(owner.pid) or self.answered(runs) < answers:
            assert process.poll() is None and time.monotonic() < deadline, f"never came to {answers} answers"
            time.sleep(0.005)
            locks = list(runs.glob(f"{self.run}/owner.lock"))
            owner = owner_of(locks[0]) if locks else None
        os.kill(owner.pid, signal.SIGSTOP)
        (run,) = runs.glob(self.run)
        over = (run / "result.json").exists()
        with suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGKILL)
        process.communicate(timeout=120)
        assert not over, "killed too late to prove anything"
        assert process.returncode != 0 and not (run / "result.json").exists()
        return self.answered(runs)


def _lives(pid: int) -> bool:
    """Not so the owner that was killed before, whom the lock names until the next one takes it."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
@pytest.mark.parametrize("both_modes", [False, True], ids=["a benchmark", "both modes together"])
def test_ten_kills_lose_no_answer_and_leave_none_twice(tmp_path: Path, both_modes: bool) -> None:
    base, root = ROOT / "gemvg_repro/miniature/base", tmp_path / "exported" / "mig_bench"
    if both_modes:
        given: dict[str, object] = {"mode": "base", "samples": 500}
        evaluation = Evaluation(given, "evaluate-base-*", 0)
    else:
        benchmarks.write(root.parent, 0, {"mig_bench": 50})
        given = {"checkpoint": base, "benchmarks": f"mig_bench='{root}'"}
        evaluation = Evaluation(given, "evaluate-base-mig_bench-*", 1000)
    whole, scores = evaluation.finish(tmp_path / "whole")
    total = sum(map(len, whole.values()))
    assert total == evaluation.answers or both_modes
    if both_modes:
        direct, cot = (whole[f"predictions-generalised-{mode}.jsonl"] for mode in ("direct", "cot"))
        assert len(direct) == len(cot) == 500
    for data in (tmp_path / "whole").glob("data-*"):
        shutil.copytree(data, tmp_path / "killed" / data.name)
    moments = sorted(Random(0).sample(range(1, total - 150), KILLS))
    kept = [evaluation.kill(tmp_path / "killed", moment) for moment in moments]
    assert kept == sorted(kept) and kept[-1] < total, kept
    again, after = evaluation.finish(tmp_path / "killed")
    assert again == whole, kept
    for lines in again.values():
        assert len({json.loads(line)["sample"] for line in lines}) == len(lines)
    assert after == scores, kept

"""kill -9 at ten moments of an evaluation, then the same command: no answer lost, none twice, the same scores.

A moment is a number of answers that are on the disk, drawn by a seed and spread over the whole evaluation, so that no
machine is too fast for it. While the owner stands still (SIGSTOP) it is seen that it is not over; then it is killed.
Those that are killed are forked from a process that has imported everything already: ten kills need not take ten
starts of an interpreter. The undisturbed evaluation, and the one that the killed ones leave to be ended, are notebooks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from gemvg_repro.miniature.exports import benchmarks
from gemvg_repro.runs.ownership import owner_of
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.study import profiles
from gemvg_repro.study.parameters import EvaluateParameters
from gemvg_repro.study.spec import resolve
from tools.faults import Study

from ..test_notebooks import ROOT, papermill_in

KILLS = 10
PATIENCE_S = 400
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def _evaluate(root: Path, given: dict[str, object]) -> None:
    """What the notebook of the copy in `root` does."""
    profiles.FOLDER = root / "gemvg_repro" / "study" / "scales"
    evaluate(resolve(EvaluateParameters.check(given)))


@dataclass(frozen=True)
class Evaluation:
    """An evaluation by the copy of the project in `root`, and the name of its run."""

    root: Path
    given: dict[str, object]
    run: str

    def files(self, runs: Path) -> list[Path]:
        return sorted(runs.glob(f"{self.run}/predictions-*.jsonl"))

    def answered(self, runs: Path) -> int:
        """Whole lines but the headers."""
        return sum(max(path.read_bytes().count(b"\n") - 1, 0) for path in self.files(runs))

    def finish(self, runs: Path) -> tuple[dict[str, list[str]], dict[str, object]]:
        """The lines of predictions by file, and the scores, of the evaluation carried to its end by the notebook."""
        runs.mkdir(exist_ok=True)
        done = papermill_in(self.root, "evaluate.ipynb", runs / "out.ipynb", runs=runs, **self.given)
        assert done.returncode == 0, done.stderr[-3000:]
        (run,) = runs.glob(self.run)
        lines = {path.name: path.read_text().splitlines()[1:] for path in self.files(runs)}
        return lines, json.loads((run / "result.json").read_text())["metrics"]

    def kill(self, runs: Path, answers: int) -> int:
        """Kills an evaluation at work once so many answers are there; how many there are then."""
        process = FORKS.Process(target=_evaluate, args=(self.root, {**self.given, "runs": str(runs)}))
        process.start()
        assert process.pid is not None
        deadline = time.monotonic() + PATIENCE_S
        while not self.is_owned_by(process.pid, runs) or self.answered(runs) < answers:
            assert process.is_alive() and time.monotonic() < deadline, f"never came to {answers} answers"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGSTOP)
        (run,) = runs.glob(self.run)
        over = (run / "result.json").exists()
        process.kill()
        process.join(PATIENCE_S)
        assert not over, "killed too late to prove anything"
        assert process.exitcode == -signal.SIGKILL and not (run / "result.json").exists()
        return self.answered(runs)

    def is_owned_by(self, pid: int, runs: Path) -> bool:
        """Whether the process has got to its work; the lock names the owner before until then."""
        owners = [owner_of(lock) for lock in runs.glob(f"{self.run}/owner.lock")]
        return any(owner is not None and owner.pid == pid for owner in owners)


@pytest.mark.slow
@pytest.mark.parametrize("both_modes", [False, True], ids=["a benchmark", "both modes together"])
def test_ten_kills_lose_no_answer_and_leave_none_twice(tmp_path: Path, both_modes: bool) -> None:
    copy = Study.lay_out(tmp_path / "checkout").root
    if both_modes:
        evaluation = Evaluation(copy, {"profile": "small", "mode": "base", "samples": 40}, "evaluate-base-*")
    else:
        benchmarks.write(tmp_path / "exported", 0, {"mig_bench": 20})
        base = str(ROOT / "gemvg_repro/miniature/base")
        given = {"profile": "small", "checkpoint": base, "benchmarks": f"mig_bench='{tmp_path}/exported/mig_bench'"}
        evaluation = Evaluation(copy, {**given}, "evaluate-base-mig_bench-*")
    whole, scores = evaluation.finish(tmp_path / "whole")
    total = sum(map(len, whole.values()))
    if both_modes:
        direct, cot = (whole[f"predictions-generalised-{mode}.jsonl"] for mode in ("direct", "cot"))
        assert len(direct) == len(cot) == 40
    else:
        assert total == 400
    for data in (tmp_path / "whole").glob("data-*"):
        shutil.copytree(data, tmp_path / "killed" / data.name)
    moments = sorted(Random(0).sample(range(1, total - 100), KILLS))
    kept = [evaluation.kill(tmp_path / "killed", moment) for moment in moments]
    assert kept == sorted(kept) and kept[-1] < total, kept
    again, after = evaluation.finish(tmp_path / "killed")
    assert again == whole, kept
    for lines in again.values():
        assert len({json.loads(line)["sample"] for line in lines}) == len(lines)
    assert after == scores, kept

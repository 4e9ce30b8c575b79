"""A run is resolved once: each profile file is read once in a process, and the identity of each run made once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.report.expected import reported
from gemvg_repro.stages.data import check, make
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.stages.train import train
from gemvg_repro.study import profiles
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.identity import Identity
from gemvg_repro.study.parameters import EvaluateParameters, ReportParameters, TrainParameters
from gemvg_repro.study.plan import plan
from gemvg_repro.study.spec import resolve

from ..corpora.made import write
from ..tiny_project import CHECKOUT


class Counts:
    """How often each profile's file was read, and the identity of each run made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: Counter[str] = Counter()
        self.identities: Counter[str] = Counter()
        read_text, initialise = Path.read_text, Identity.__init__

        def counted_read(path: Path, *args: Any, **kwargs: Any) -> str:
            self.reads.update([path.name] * (path.parent == profiles.FOLDER))
            return read_text(path, *args, **kwargs)

        def counted_identity(made: Identity, *args: Any, **kwargs: Any) -> None:
            initialise(made, *args, **kwargs)
            self.identities[made.folder_name] += 1

        monkeypatch.setattr(Path, "read_text", counted_read)
        monkeypatch.setattr(Identity, "__init__", counted_identity)

    def take(self) -> tuple[dict[str, int], dict[str, int]]:
        """What was counted since the last time: reads by profile, identities by the name of the run."""
        counted = dict(self.reads), {key.rpartition("-")[0]: n for key, n in self.identities.items()}
        self.reads.clear()
        self.identities.clear()
        return counted


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


ONE_PROFILE = {"miniature.yaml": 1}


def test_a_training_and_its_evaluation_are_resolved_once(tmp_path: Path, counts: Counts) -> None:
    (tmp_path / "data").mkdir()
    given: dict[str, Any] = {"data": str(write(tmp_path / "data")), "runs": str(tmp_path / "runs"), "steps": 1}
    spec = resolve(TrainParameters(prerequisites="require", **given))
    make(spec.data)
    assert train(spec) == spec.folder and spec.result
    assert counts.take() == (ONE_PROFILE, {"data": 1, "sft-s0": 1})
    evaluation = resolve(EvaluateParameters(samples=1, prerequisites="require", **given))
    assert evaluate(evaluation) == evaluation.folder and evaluation.result
    assert counts.take() == (ONE_PROFILE, {"data": 1, "sft-s0": 1, "evaluate-sft-s0": 1})


def test_a_launch_and_its_report_are_resolved_once(tmp_path: Path, counts: Counts) -> None:
    file = CHECKOUT / "sweeps" / "miniature.yaml"
    jobs = plan(Grid.load(file, [0, 1]), file, CHECKOUT, tmp_path)
    for job in jobs:
        if job.spec:
            check(job.spec)
    reads, identities = counts.take()
    assert reads == ONE_PROFILE and set(identities.values()) == {1}
    assert set(identities) == {job.name for job in jobs if not job.is_report} and len(identities) == 2 * 18 + 3
    study = reported(ReportParameters(grid=str(file), seeds=[0, 1], runs=str(tmp_path)))
    reads, identities = counts.take()
    assert reads == ONE_PROFILE and set(identities.values()) == {1} and len(study.keys) == len(identities)

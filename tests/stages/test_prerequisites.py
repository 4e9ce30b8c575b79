"""A notebook started by hand brings what it needs, or says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemvg_repro.stages.prerequisites import MissingPrerequisite, ensure
from gemvg_repro.study.parameters import EvaluateParameters, TrainParameters
from gemvg_repro.study.spec import resolve

from .. import tiny_project


def test_missing_prerequisites_are_an_error_or_made_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_project.project(tmp_path)
    monkeypatch.chdir(root / "notebooks")
    with pytest.raises(MissingPrerequisite, match=r"needs data.*-p prerequisites train"):
        ensure(resolve(TrainParameters(mode="cot_sft", prerequisites="require")))
    assert not (root / "runs").exists()
    made = ensure(resolve(TrainParameters(mode="cot_sft")))
    assert capsys.readouterr().out.splitlines() == [
        "data is missing and comes first",
        "sft-s0 is missing and comes first",
    ]
    assert list(made) == ["data", "sft"]
    assert all((root / "runs" / folder / "result.json").is_file() for folder in made.values())
    assert ensure(resolve(TrainParameters(mode="cot_sft", prerequisites="require"))) == made
    with pytest.raises(MissingPrerequisite, match=r"evaluate.ipynb needs sft-s0") as missing:
        ensure(resolve(EvaluateParameters(mode="hybrid", steps=3, prerequisites="require")))
    command = f"papermill notebooks/train.ipynb OUT.ipynb -p runs {root / 'runs'} -p mode sft -p seed 0 -p steps 3"
    assert str(missing.value).endswith(command)

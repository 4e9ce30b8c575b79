"""Parameters of notebooks: what is valid, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.study.parameters import EvaluateParameters, ParameterError, TrainParameters
from gemvg_repro.study.paths import absolute, project_root


def test_a_notebook_s_plain_globals_are_its_parameters() -> None:
    namespace: dict[str, Any] = {"mode": "hybrid", "seed": 3, "In": [], "Out": {}, "_i": "x", "Path": Path}
    params = TrainParameters.from_notebook(namespace)
    assert (params.mode, params.seed, params.profile, params.prerequisites) == ("hybrid", 3, "miniature", "train")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mdoe": "hybrid"}, ["mdoe", "no such parameter", "did you mean 'mode'", "prerequisites"]),
        (
            {"mode": "hybird"},
            ["'hybird'", "'sft', 'cot_sft', 'cot', 'direct', 'hybrid'", "did you mean 'hybrid'"],
        ),
        ({"mode": "base"}, ["the base is not trained", "evaluate.ipynb"]),
        ({"seed": -1}, ["seed = -1", "greater than or equal to 0"]),
        ({"seed": "0"}, ["seed = '0'", "integer"]),
        ({"seed": True}, ["seed = True", "integer"]),
        ({"profile": "minature"}, ["'minature'", "miniature"]),
        ({"data": "nowhere.json"}, ["'nowhere.json' is no file", "COCO"]),
        ({"prerequisites": "no"}, ["'train' or 'require'"]),
    ],
)
def test_a_wrong_parameter_is_named_with_the_valid_ones(wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ParameterError) as error:
        TrainParameters.from_notebook(wrong)
    for word in ["train.ipynb cannot start", "--help-notebook", *words]:
        assert word in str(error.value)


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(ParameterError, match=r"(?s)mode = 'x'.*sede: no such.*did you mean 'seed'"):
        TrainParameters.from_notebook({"mode": "x", "sede": 1})


def test_paths_count_from_the_project_wherever_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "train.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert project_root() == tmp_path
    assert absolute("runs") == TrainParameters().runs_folder == tmp_path / "runs"
    assert absolute("/elsewhere") == Path("/elsewhere")


def test_an_evaluation_knows_the_training_it_scores() -> None:
    evaluation = EvaluateParameters(mode="cot", seed=2, steps=5, samples=8, prerequisites="require")
    assert evaluation.starts_from == TrainParameters(mode="cot", seed=2, steps=5, prerequisites="require")

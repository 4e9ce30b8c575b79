"""What a report takes from its grid: run directories, settings, and the commands that it suggests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gemvg_repro.report.expected import planned, reported
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.parameters import ParameterError, ReportParameters
from gemvg_repro.study.paths import project_root

ROOT = project_root(Path(__file__))
GRID = ROOT / "sweeps" / "miniature.yaml"


def test_the_default_study() -> None:
    study = planned(GRID, [0, 1], ROOT / "runs")
    assert study.seeds == (0, 1) and len(study.keys) == len(set(study.keys)) == 39
    assert study.settings == {
        "profile": "miniature",
        "data": "",
        "images": "",
        "steps": 0,
        "samples": 0,
        "overrides": "",
    }
    assert (study.launch, study.pilot) == ("python sweeps/launch.py", "python -m gemvg_repro.report.numbers.pilot")


def test_commands_name_grid_and_runs(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(Grid.load(GRID, [0, 1, 2]).dump())
    assert planned(copy, [], ROOT / "runs").launch == "python sweeps/launch.py"
    study = planned(ROOT / "sweeps" / "controls.yaml", [], ROOT / "my runs")
    assert study.launch == "python sweeps/launch.py sweeps/controls.yaml --runs 'my runs'"
    assert study.pilot == "python -m gemvg_repro.report.numbers.pilot --grid sweeps/controls.yaml --runs 'my runs'"
    copy.write_text(Grid.load(GRID, settings=["steps=20"]).dump())
    study = planned(copy, [], tmp_path)
    assert study.launch == f"python sweeps/launch.py {copy} --runs {tmp_path}" and study.settings["steps"] == 20


def test_a_launched_report_suggests_what_its_project_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in a copy of the project, with a copy of its grid."""
    runs = tmp_path / "runs"
    for project in (tmp_path, runs / ".jobs" / "code" / "0123456789ab"):
        for part in ("notebooks", "sweeps"):
            shutil.copytree(ROOT / part, project / part)
    monkeypatch.chdir(runs / ".jobs" / "code" / "0123456789ab")
    grid = runs / ".jobs" / "grids" / "a.yaml"
    grid.parent.mkdir()
    grid.write_text(Grid.load(GRID, [0, 1, 2]).dump())
    assert planned(grid, [], runs).launch == "python sweeps/launch.py"
    grid.write_text(Grid.load(GRID, settings=["steps=20"]).dump())
    assert planned(grid, [], runs).launch == "python sweeps/launch.py runs/.jobs/grids/a.yaml"


def test_a_report_of_another_profile_than_its_grid_is_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"profile = 'paper', but sweeps/miniature.yaml is .* miniature; report it"
    ):
        reported(ReportParameters(profile="paper"))
    assert reported(ReportParameters()).seeds == (0,)

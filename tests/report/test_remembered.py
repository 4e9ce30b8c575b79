"""Numbers that are remembered are those that are computed, to the bit; and none of other runs, or of damaged files."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report import remembered
from gemvg_repro.report.claims.claims import Judged
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.numbers.resampling import Draws

YESTERDAY = 1_000_000_000


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "Draws", partial(Draws, 20))
        yield


@pytest.fixture(scope="module")
def settled(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were finished long ago, with what is remembered of them."""
    folder = tmp_path_factory.mktemp("settled") / "runs"
    shutil.copytree(runs, folder)
    for path in folder.rglob("*"):
        os.utime(path, (YESTERDAY, YESTERDAY))
    report(folder)
    return folder


@pytest.fixture
def again(settled: Path, tmp_path: Path) -> Path:
    """A copy of them, to be changed."""
    shutil.copytree(settled, tmp_path / "runs")  # with the times of change
    return tmp_path / "runs"


def report(runs: Path) -> tuple[pd.DataFrame, list[Judged]]:
    return remembered.results(collect(runs), runs / "report")


def refuse(*_: object) -> None:
    raise AssertionError("computed again")


def described(judged: list[Judged]) -> list[str]:
    return [repr((j.claim, j.score, j.difference, j.verdict, [run.name for run in j.runs], j.reason)) for j in judged]


def test_with_and_without_what_is_remembered(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (again / "report" / "numbers.parquet").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(remembered, "numbers", refuse)
        patch.setattr(remembered, "judge", refuse)
        known = report(again)
    (again / "report" / "remembered.json").unlink()
    computed = report(again)
    assert (again / "report" / "numbers.parquet").read_bytes() == before
    pd.testing.assert_frame_equal(known[0], computed[0], check_exact=True)
    assert described(known[1]) == described(computed[1])


def change_a_score(runs: Path) -> None:
    (run,) = runs.glob("evaluate-hybrid-*")
    path = run / "scores-generalised-cot.parquet"
    pd.read_parquet(path).assign(tp=0).to_parquet(path, index=False)


def damage_the_numbers(runs: Path) -> None:
    path = runs / "report" / "numbers.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_a_verdict(runs: Path) -> None:
    path = runs / "report" / "remembered.json"
    content = json.loads(path.read_text())
    content["judged"][0]["verdict"] = "reproduced"
    path.write_text(json.dumps(content))


def cut_off(runs: Path) -> None:
    path = runs / "report" / "remembered.json"
    path.write_bytes(path.read_bytes()[:-100])


def remove_a_run(runs: Path) -> None:
    (run,) = runs.glob("evaluate-hybrid-*")
    shutil.rmtree(run)


CHANGES = (change_a_score, damage_the_numbers, edit_a_verdict, cut_off, remove_a_run)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_has_changed_is_computed_again(
    again: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(again)
    monkeypatch.setattr(remembered, "numbers", refuse)
    with pytest.raises(AssertionError, match="computed again"):
        report(again)


def test_of_another_code_or_of_files_that_changed_just_now(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(remembered, "hash_of_files", lambda *_: "another")
        patch.setattr(remembered, "numbers", refuse)
        with pytest.raises(AssertionError, match="computed again"):
            report(again)
    (again / "report" / "remembered.json").unlink()
    (run,) = again.glob("evaluate-hybrid-*")
    (run / "result.json").touch()
    report(again)
    assert not (again / "report" / "remembered.json").exists()

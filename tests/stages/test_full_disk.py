"""A full disk: the error names the file and its size, nothing is lost, and with free space the run resumes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from gemvg_repro.benchmarks.predictions import PredictionLog, read
from gemvg_repro.files.atomic import NotWritten, writing
from gemvg_repro.grounding.predictions import Prediction
from gemvg_repro.models.loading import save
from gemvg_repro.report.numbers import table
from gemvg_repro.report.page import figure as pictures
from gemvg_repro.report.page.html import export_html
from gemvg_repro.runs.json_files import write_json
from gemvg_repro.runs.log import Log
from gemvg_repro.stages.validation_rewards import write_table
from gemvg_repro.training.checkpointing import newest_checkpoint

from .. import tiny_model, tiny_project
from ..sweeps.test_launch import launch, start, until_logged
from ..training.test_checkpointing import Stopped, sft

NOT_WRITTEN = r"was not written: .*it takes [\d,]+ bytes, and [\d,]+ are free there. What was there before is whole"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True)
    if os.geteuid() != 0 or mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, left: int = 0) -> Path:
    """Fills the disk but for so many bytes; the file that is to be deleted to have room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(max(0, file.tell() - left))
    return ballast


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "ballast"
    }


def _figure(out: Path, size: int) -> None:
    figure, axes = plt.subplots(figsize=(2 + size, 2))
    axes.plot(range(20 * size))
    pictures.save(figure, out, "curve", "A curve.")
    plt.close(figure)


def _page(out: Path, size: int) -> None:
    cells = [nbformat.v4.new_markdown_cell("# A report\n\n" + "words " * 5000 * size)]
    if size == 1:
        nbformat.write(nbformat.v4.new_notebook(cells=cells), out / "report.ipynb")
    export_html(out / "report.ipynb")


WRITERS: dict[str, Callable[[Path, int], object]] = {
    "JSON": lambda out, size: write_json(out / "result.json", ["words"] * 5000 * size),
    "a table": lambda out, size: write_table(out / "scores.parquet", pd.DataFrame({"x": range(9000 * size)})),
    "numbers": lambda out, size: table.save(pd.DataFrame({"x": range(9000 * size)}), out),
    "a figure": _figure,
    "a page": _page,
    "a model": lambda out, size: save(*tiny_model.model_and_processor(), out / f"model-{size}"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_finds_no_room_leaves_the_one_before_and_nothing_else(disk: Path, name: str) -> None:
    WRITERS[name](disk, 1)
    before = contents(disk)
    ballast = fill(disk)
    with pytest.raises(NotWritten, match=rf"{disk}/.* {NOT_WRITTEN}.*free some room, and the same command goes on"):
        WRITERS[name](disk, 2)
    assert contents(disk) == before
    ballast.unlink()
    WRITERS[name](disk, 2)
    assert contents(disk).keys() >= before.keys()


def test_a_log_and_predictions_go_on_where_the_disk_was_full(disk: Path) -> None:
    path, answers = disk / "log.jsonl", disk / "predictions.jsonl"
    log, long = Log(path), "x" * 30_000
    log.append({"step": 1})
    with PredictionLog(answers, "key") as predictions:
        predictions.append([Prediction("a", "direct", "none", 1)])
        ballast = fill(disk, left=4096)
        with pytest.raises(NotWritten, match=rf"{path} {NOT_WRITTEN}"):
            log.append({"step": 2, "words": long})
        with pytest.raises(NotWritten, match=rf"{answers} {NOT_WRITTEN}"):
            predictions.append([Prediction("b", "direct", long, 1)])
    ballast.unlink()
    Log(path).append({"step": 2})
    assert [record["step"] for record in Log(path).records()] == [1, 2]
    with PredictionLog(answers, "key") as predictions:
        assert list(predictions.done) == ["a"]
        predictions.append([Prediction("b", "direct", long, 1)])
    assert [prediction.sample for prediction in read(answers, "key")] == ["a", "b"]


def test_an_error_of_another_kind_stays_what_it_is(disk: Path) -> None:
    with pytest.raises(ValueError, match="shape"), writing(disk / "x", 100):
        raise ValueError("a wrong shape")
    fill(disk)
    with (
        pytest.raises(NotWritten, match="the disk is full; it takes more than there is") as raised,
        writing(disk / "x"),
    ):
        raise ValueError("what a library makes of it")
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_training_goes_on_from_the_checkpoint_before_to_the_same_weights(disk: Path) -> None:
    undisturbed, _ = sft(disk / "undisturbed")
    shutil.rmtree(disk / "undisturbed")
    with pytest.raises(Stopped):
        sft(disk / "run", stop_after=3)
    ballast = fill(disk, left=200_000)
    with pytest.raises(NotWritten, match=rf"checkpoint-4 {NOT_WRITTEN}"):
        sft(disk / "run")
    assert sorted(path.name for path in (disk / "run").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert newest_checkpoint(disk / "run") is not None
    ballast.unlink()
    resumed, rest = sft(disk / "run")
    assert resumed == undisturbed and rest[0]["step"] == 3


@pytest.mark.slow
def test_a_study_says_that_its_disk_is_full_and_resumes_when_it_is_not(disk: Path, tmp_path: Path) -> None:
    root = tiny_project.project(disk / "study")
    chosen = ("--only", "sft-s0", "--only", "!report")
    ballast = fill(disk, left=100_000)
    status, _, error = launch(root, *chosen)
    assert status == 2 and "was not written" in error and "are free there" in error and "Traceback" not in error
    ballast.unlink()

    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    process = start(root, *chosen, TINY_SLOW="sft-s0", **gate.environment)
    until_logged(root, "sft-s0", 2, process)
    ballast = fill(disk)
    gate.open()
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1 and "sft-s0 failed" in error, error
    assert "the disk has 0 bytes left" in error or "was not written" in error or "is full" in error, error
    ballast.unlink()
    status, _, error = launch(root, *chosen)
    assert status == 0, error
    assert tiny_project.result(root, "sft-s0")["first"] > 2 and tiny_project.result(root, "sft-s0")["metrics"] == {
        "steps": tiny_project.STEPS
    }

"""A notebook's kernel owns the run that several processes train: it hears them, stops them, and tells their error."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gemvg_repro.launching.processes import ProcessFailed, process_count
from gemvg_repro.models.loading import load
from gemvg_repro.runs.directory import Interrupted
from gemvg_repro.runs.layout import JobFiles
from gemvg_repro.stages import data
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, TrainParameters
from gemvg_repro.study.spec import RunSpec, resolve

from .test_paper_path import coco_file

pytestmark = pytest.mark.slow


def training(folder: Path, runs: str, steps: int = 2) -> RunSpec[TrainParameters]:
    """A small SFT on a file, whose data run is there."""
    if not (folder / "coco").exists():
        (folder / "coco").mkdir()
        coco_file(folder / "coco")
    shared: dict[str, Any] = {"data": str(folder / "coco" / "annotations.json"), "runs": str(folder / runs)}
    data.make(resolve(DataParameters(**shared)))
    overrides = "sft.conversations=4 sft.micro_batch=4 threads.sft=1"
    return resolve(TrainParameters(mode="sft", steps=steps, overrides=overrides, **shared))


def workers() -> list[psutil.Process]:
    """The training processes of this test."""
    every = psutil.Process().children(recursive=True)
    return [p for p in every if p.cmdline()[1:2] == ["-u"] and any("training_process" in part for part in p.cmdline())]


def when_logged(spec: RunSpec[TrainParameters], act: Any) -> threading.Thread:
    """Acts once, in a thread, after the first step is logged."""

    def wait() -> None:
        log = spec.folder / "log.jsonl"
        while not (log.is_file() and log.read_text().strip()):
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_two_processes_train_a_run_to_the_weights_and_the_log_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = train(training(tmp_path, "one"))
    monkeypatch.setenv("TRAINING_PROCESSES", "2")
    two = train(training(tmp_path, "two"))
    assert one.name == two.name, "the number of processes is in no id"
    assert json.loads((two / "environment.json").read_text())["processes"] == 2
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, two)]
    assert [entry["step"] for entry in logs[1]] == [1, 2]
    assert [e["loss"] for e in logs[0]] == pytest.approx([e["loss"] for e in logs[1]], rel=1e-5)
    models = [load(run / "model", "float32")[0].state_dict() for run in (one, two)]
    assert max(float((models[0][name] - models[1][name]).abs().max()) for name in models[0]) < 1e-6
    assert not [path for path in two.iterdir() if path.name == "checkpoints"]


def test_a_stop_is_heeded_by_all_and_the_run_resumed_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_PROCESSES", "2")
    spec = training(tmp_path, "runs", steps=30)
    when_logged(spec, JobFiles(spec.folder).stop.touch)
    with pytest.raises(Interrupted):
        train(spec)
    assert not workers()
    JobFiles(spec.folder).stop.unlink()
    monkeypatch.setenv("TRAINING_PROCESSES", "1")
    run = train(spec)
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == [*range(1, 31)]


def test_a_killed_process_ends_the_training_with_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_PROCESSES", "2")
    spec = training(tmp_path, "runs", steps=200)
    when_logged(spec, lambda: os.kill(workers()[1].pid, signal.SIGKILL))
    with pytest.raises(ProcessFailed, match="SIGKILL"):
        train(spec)
    assert not workers()


def test_the_error_of_a_process_is_the_run_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_PROCESSES", "3")
    with pytest.raises(ProcessFailed, match=r"3 processes cannot share a batch of 4; .* 1, 2, 4\."):
        train(training(tmp_path, "runs"))


def test_as_many_processes_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_PROCESSES", raising=False)
    assert (process_count(8), process_count(0)) == (8, 1)

"""One notebook through the real papermill and a real kernel."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gemvg_repro.launching.notebook import NotebookFailed, execute
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import Job, plan

from .. import tiny_project


def training(root: Path) -> Job:
    """The SFT job of a tiny project."""
    file = root / "sweeps" / "miniature.yaml"
    return next(j for j in plan(Grid.load(file), file, root, root / "runs") if j.name == "sft-s0")


def test_a_notebook_is_executed_once_by_this_interpreter_in_a_folder_with_spaces(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / 'a folder\'s "name"')
    job = training(root)
    cell = "import os, sys; print('kernel of', sys.executable, 'threads wait', os.environ['OMP_WAIT_POLICY'])"
    notebook = json.loads(job.notebook.read_text())
    notebook["cells"].append({**notebook["cells"][-1], "id": "last", "source": cell})
    job.notebook.write_text(json.dumps(notebook))
    execute(job, root)
    assert tiny_project.result(root, "sft-s0")["metrics"] == {"steps": tiny_project.STEPS}
    executed = job.folder / "notebook.ipynb"
    assert f"kernel of {sys.executable} threads wait passive" in executed.read_text()
    assert "without encryption" not in job.files.log.read_text()  # ipykernel's warning, before every run
    lines = [json.loads(line) for line in (job.folder / "log.jsonl").read_text().splitlines()]
    assert {line["threads"] for line in lines} == {str(job.threads)}
    before = executed.stat()
    execute(job, root)  # finished: nothing is done again
    assert executed.stat() == before


def test_the_failing_cell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_project.project(tmp_path)
    job = training(root)
    monkeypatch.setenv("TINY_FAIL", "sft-s0")
    with pytest.raises(
        NotebookFailed, match=r"train.ipynb failed for sft-s0 in cell \[4\]: ValueError: the loss is not"
    ):
        execute(job, root)
    assert "the loss is not finite" in job.files.failure.read_text()
    assert not (job.folder / "result.json").exists() and not (job.folder / "notebook.ipynb").exists()


def test_killed_at_its_root_it_leaves_no_process_and_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny_project.project(tmp_path)
    job = training(root)
    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    for name, value in {"TINY_SLOW": "sft-s0", **gate.environment}.items():
        monkeypatch.setenv(name, value)
    program = "import pickle, sys; from pathlib import Path; from gemvg_repro.launching.notebook import execute; "
    program += "execute(pickle.load(sys.stdin.buffer), Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", program, str(root)], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(pickle.dumps(job))
    process.stdin.close()
    log = job.folder / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # papermill and its kernel
    process.kill()
    process.wait()
    gate.open()
    execute(job, root)  # waits for the dying kernel to let go of the run
    assert psutil.wait_procs(family, timeout=60)[1] == []
    result = tiny_project.result(root, "sft-s0")
    assert result["first"] > 2 and result["metrics"]["steps"] == tiny_project.STEPS
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(1, tiny_project.STEPS + 1))


def test_a_killed_kernel_is_a_failure_though_papermill_calls_its_cells_completed(
    tmp_path: Path,
) -> None:
    root = tiny_project.project(tmp_path)
    job = training(root)
    notebook = json.loads(job.notebook.read_text())
    notebook["cells"][-1]["source"] = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    job.notebook.write_text(json.dumps(notebook))
    with pytest.raises(NotebookFailed, match="was its kernel killed"):
        execute(job, root)

"""All that tests/stages/test_refusals.py refuses, by the real notebooks: exit status 1, the same words, no change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gemvg_repro.models.checkpoints import hashes
from gemvg_repro.runs.directory import Run

from . import tiny_model
from .corpora.made import document, write
from .stages.test_refusals import BAD_DATA, BAD_RUNS, BAD_WEIGHTS, snapshot
from .test_notebooks import papermill

pytestmark = pytest.mark.slow


def ends_refused(folder: Path, notebook: str, words: tuple[str, ...], **parameters: object) -> None:
    """Everything given lies below `folder`, and so would the runs; papermill's own notebook does not."""
    before = snapshot(folder)
    done = papermill(notebook, folder.with_name("out.ipynb"), runs=folder / "runs", **parameters)
    output = done.stdout + done.stderr
    assert done.returncode == 1, output[-3000:]
    for word in words:
        assert word in output, output[-3000:]
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", BAD_DATA)
def test_data(tmp_path: Path, name: str) -> None:
    change, words = BAD_DATA[name]
    folder = tmp_path / "given"
    folder.mkdir()
    content = document()
    file = write(folder)
    change(content, folder)
    file.write_text(json.dumps(content))
    ends_refused(folder, "train.ipynb", words, data=file)


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights(tmp_path: Path, name: str) -> None:
    change, words = BAD_WEIGHTS[name]
    weights = Path(shutil.copytree(tiny_model.folder(), tmp_path / "given" / "my weights"))
    change(weights)
    ends_refused(tmp_path / "given", "evaluate.ipynb", words, checkpoint=weights, samples=1)


@pytest.mark.parametrize("name", BAD_RUNS)
def test_runs(tmp_path: Path, name: str) -> None:
    change, words = BAD_RUNS[name]
    (tmp_path / "given").mkdir()
    with Run.open(tmp_path / "given", "sft-s0", {"kind": "train", "results_version": 1}) as run:
        shutil.copytree(tiny_model.folder(), run.folder / "model")
        run.finish({"weights": hashes(run.folder / "model")})
    change(run.folder)
    ends_refused(tmp_path / "given", "evaluate.ipynb", words, checkpoint=run.folder, samples=1)

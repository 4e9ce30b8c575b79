"""A whole small project: real notebooks whose training only counts, the real launcher, a grid."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from gemvg_repro.files.atomic import write_bytes
from gemvg_repro.study.parameters import (
    DataParameters,
    EvaluateParameters,
    Parameters,
    ReportParameters,
    TrainParameters,
)

CHECKOUT = Path(__file__).resolve().parents[1]

STEPS = 6

# Steered through the environment, which reaches the kernel: TINY_FAIL, TINY_SLOW and TINY_CHECKPOINT name runs by a
# pattern. A step of a slow one takes a second, and it waits before a step that is not yet allowed by the number in the
# file TINY_GATE. One with checkpoints keeps only the steps of a sealed one, which it writes when it is told to stop and
# which takes TINY_SAVE_S seconds.
_WORK = f"""
import os, time
from fnmatch import fnmatch
from pathlib import Path
from gemvg_repro.runs.directory import Run
from gemvg_repro.study.spec import resolve
spec = resolve(params)
run = Run.open(params.runs_folder, spec.identity.name, spec.identity.parameters)
log = run.log()
sealed = run.folder / "sealed"
has_checkpoints = fnmatch(run.name, os.environ.get("TINY_CHECKPOINT", ""))
if has_checkpoints:
    log.rewind(int(sealed.read_text()) if sealed.is_file() else 0)
first = len(log.records()) + 1

def stop_if_requested(step):
    if has_checkpoints and run.stop_requested():
        time.sleep(float(os.environ["TINY_SAVE_S"]))
        sealed.write_text(str(step))
    run.stop_if_requested()

slow = fnmatch(run.name, os.environ.get("TINY_SLOW", ""))
gate = Path(os.environ.get("TINY_GATE", os.devnull))
for step in range(first, {STEPS} + 1):
    while slow and gate.is_file() and step > int(gate.read_text()):
        stop_if_requested(step - 1)
        time.sleep(0.05)
    if fnmatch(run.name, os.environ.get("TINY_FAIL", "")) and step == 4:
        raise ValueError("the loss is not finite")
    log.append({{"step": step, "pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}})
    saves = {{"sealed_step": first - 1, "save_seconds": 45.0}} if has_checkpoints else {{}}
    run.progress(step, {STEPS}, seconds_left=1.0, loss=1 / step, **saves)
    stop_if_requested(step)
    time.sleep(slow)
print("a sentence of", run.name)
run.finish({{"first": first, "metrics": {{"steps": len(log.records())}}}})
"""

_REPORT = """
print(sorted(path.parent.name for path in params.runs_folder.glob("*/result.json")))
"""


@dataclass(frozen=True)
class Gate:
    """A file that slow runs wait for before each step: a run that a test looks at or cancels does not end meanwhile."""

    path: Path
    step: int

    def __post_init__(self) -> None:
        self.open(self.step)

    @property
    def environment(self) -> dict[str, str]:
        return {"TINY_GATE": str(self.path)}

    def open(self, step: int = STEPS) -> None:
        """Lets slow runs go on up to this step."""
        write_bytes(self.path, str(step).encode())


def notebook(kind: type[Parameters], work: str) -> nbformat.NotebookNode:
    """A notebook with the parameters of its model, their validation, and one cell of work."""
    literals = "\n".join(f"{name} = {field.default!r}" for name, field in kind.model_fields.items())
    check = f"from gemvg_repro.study.parameters import {kind.__name__}\n"
    check += f"params = {kind.__name__}.from_notebook(globals())"
    parameters = nbformat.v4.new_code_cell(literals, metadata={"tags": ["parameters"]})
    content: nbformat.NotebookNode = nbformat.v4.new_notebook(
        cells=[parameters, *(nbformat.v4.new_code_cell(source) for source in (check, work))],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
    )
    return content


def project(root: Path, modes: str = "[sft]", resources: str = "{cluster: local, jobs: 2}") -> Path:
    """Lays the project out in `root` and returns it."""
    (root / "notebooks").mkdir(parents=True)
    (root / "sweeps").mkdir()
    for kind in (DataParameters, TrainParameters, EvaluateParameters):
        nbformat.write(notebook(kind, _WORK), root / "notebooks" / kind.notebook)
    nbformat.write(notebook(ReportParameters, _REPORT), root / "notebooks" / ReportParameters.notebook)
    shutil.copy(CHECKOUT / "sweeps" / "launch.py", root / "sweeps" / "launch.py")
    grid = f"scientific: {{mode: {modes}}}\nnuisance: {{seed: [0]}}\nfixed: {{profile: miniature}}\n"
    (root / "sweeps" / "miniature.yaml").write_text(f"{grid}resources: {resources}\n")
    return root


def result(root: Path, name: str) -> dict[str, Any]:
    """The result of the one run of this name."""
    (folder,) = (f for f in (root / "runs").glob(f"{name}-*") if f.name.rpartition("-")[0] == name)
    return dict(json.loads((folder / "result.json").read_text()))

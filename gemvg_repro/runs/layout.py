"""What is each file of a runs folder called? Every name is stated here once.

runs/NAME-ID/            a run: what it is, how far it is, what it made
runs/.jobs/NAME-ID/      the executions of that run's notebook: locks, logs, the partly executed notebook
runs/.jobs/launches/     the submissions to Slurm;  code/, grids/: what was launched
runs/.jobs/benchmarks/   what the files of benchmarks hold, read once
runs/report/             the report on all of them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RESULT = "result.json"
"""Written last: the only sign that a run is finished."""

PARAMETERS = "parameters.json"
"""Everything that can move the run's numbers; its hash is the run's id."""

ENVIRONMENT = "environment.json"
PROGRESS = "progress.json"
LOG = "log.jsonl"
NOTEBOOK = "notebook.ipynb"
MODEL = "model"
"""The folder of a training's weights."""

CHECKPOINTS = "checkpoints"
VALIDATION_REWARD = "validation-reward.parquet"
"""Of a GRPO run: columns prompt, mode, when (before | after), term, value."""

WORLD_FILE = "samples.parquet"
"""Of a data run of the miniature: columns id, split, chain and others (`miniature.dataset`)."""

VALIDATION_REWARD_BEFORE = "validation-reward-before.parquet"
DRAWN_ANSWERS = "drawn-answers.parquet"
"""Of SFT on the model's own answers: columns prompt, mode, answer, reward."""

GALLERY = "gallery"

REPORT_NOTEBOOK = "report.ipynb"
REPORT_PAGE = "report.html"
NUMBERS = "numbers.parquet"
REMEMBERED = "remembered.json"
"""Of which runs the numbers are, and what they say about the claims: not computed again while no run changes."""


@dataclass(frozen=True)
class TaskFile:
    """A file that an evaluation writes for each of its tasks, that is, for a benchmark in a mode."""

    prefix: str
    suffix: str

    def name(self, task: str) -> str:
        """The file's name for a task such as `generalised-cot`; which task it is of says result.json."""
        return f"{self.prefix}-{task}{self.suffix}"


PREDICTIONS = TaskFile("predictions", ".jsonl")
SCORES = TaskFile("scores", ".parquet")
OFFICIAL = TaskFile("official", ".json")
"""The score by the benchmark authors' rules."""


def launcher_folder(runs: Path) -> Path:
    """The launcher's own folder within a folder of runs."""
    return runs / ".jobs"


def snapshots(runs: Path) -> Path:
    """The folder of the code that was launched."""
    return launcher_folder(runs) / "code"


def remembered_benchmarks(runs: Path) -> Path:
    """Where is remembered what the files of benchmarks hold."""
    return launcher_folder(runs) / "benchmarks"


@dataclass(frozen=True)
class JobFiles:
    """What belongs to the executions of a run's notebook, and not to the run.

    Attributes:
        run: the run directory.
    """

    run: Path

    @property
    def owner_lock(self) -> Path:
        """Held by the process that writes to the run directory; it lies in it."""
        return self.run / "owner.lock"

    @property
    def folder(self) -> Path:
        """Where all others are."""
        return launcher_folder(self.run.parent) / self.run.name

    @property
    def lock(self) -> Path:
        """Held by the process that executes the run's notebook."""
        return self.folder / "job.lock"

    @property
    def log(self) -> Path:
        """The output of the last execution, cell by cell as it ran."""
        return self.folder / "log.txt"

    @property
    def failure(self) -> Path:
        """The error of the last execution; there is no such file when it did not fail."""
        return self.folder / "failure.txt"

    @property
    def stop(self) -> Path:
        """While it exists, the run is to stop as soon as all it did is on disk."""
        return self.folder / "stop"

    @property
    def partial_notebook(self) -> Path:
        """The notebook while it is executed."""
        return self.folder / "notebook.part.ipynb"

"""Kills processes of a study at seeded random moments of its stages: a tool of the tests, and a command.

    python -m tools.faults 30 [--seed 0] [--folder DIR]

One small study is left alone. Another, of the same seed, is struck by SIGKILL: every process in every stage once, that
is thirty blows, and after each the same command goes on. A line is printed a blow that hit, then whether the struck
study has the undisturbed one's numbers; more blows take more studies. The exit status says whether all have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import yaml

from gemvg_repro.runs.ownership import owner_of

CHECKOUT = Path(__file__).resolve().parents[1]

STAGES = ("data", "sft-s0", "cot_sft-s0", "hybrid-s0", "evaluate-hybrid-s0", "report")
"""In the order in which they run: a study of hybrid and of all that it needs."""

REPORT_FOLDER = "report-small"  # of small.yaml

PROCESSES = ("launcher", "controller", "job", "papermill", "kernel")
"""From the top down. `controller` is submitit's, which outlives the launcher; `job` is what it started: it owns the
job, and executes the notebook."""

PATIENCE_S = 600
"""For what takes half a minute on a machine that has nothing else to do."""

SMALL: dict[str, Any] = {
    "threads": {"sft": 1, "cot_sft": 1},
    "data": {
        "recipe": {"validation": 40, "test": 40, "understanding_test": 10, "shifted_test": 10},
        "composition": {
            "share": 0.03, "exported": {"coco": 120, "d3": 240, "egoexo4d": 240, "mvtrack": 60, "star": 600},
            "prompts": 40,
        },
        "benchmarks": {"mig_bench": 12},
    },
    "sft": {"steps": 12, "conversations": 4, "micro_batch": 4, "turns": 1, "save_every": 3},
    "cot_sft": {"steps": 12, "conversations": 4, "micro_batch": 4, "turns": 1, "save_every": 3},
    "grpo": {
        "steps": 8, "prompts": 2, "rollouts": 8, "micro_batch": 16, "save_every": 2, "watch_every": 2,
        "watched_samples": 20, "watched_batch": 10, "divergence_samples": 4,
    },
    "evaluate": {"batch": 10, "shortcut_samples": 20},
}  # fmt: skip
"""What differs from the miniature: only sizes, so that starting a process takes longer than its work."""


@dataclass(frozen=True)
class Fault:
    """Whom a blow meets, in which stage, and when.

    Attributes:
        working: whether it comes in the midst of the run's work, or while the run is still being started.
        moment: after so large a share of the steps or answers, or of the seconds that the undisturbed stage took.
    """

    stage: str
    process: str
    working: bool
    moment: float

    def __str__(self) -> str:
        return f"{self.stage:18} {self.process:10} {self.moment:4.0%} {'done' if self.working else 'of its time'}"


def faults(seed: int) -> Iterator[list[Fault]]:
    """Without end, the blows of a study: in every stage every process once, first those that end the job with them."""
    rng = Random(f"faults/{seed}")
    while True:
        yield [
            _drawn(rng, stage, process)
            for stage in STAGES
            for process in (*rng.sample(PROCESSES[2:], 3), *rng.sample(PROCESSES[:2], 2))
        ]


def _drawn(rng: Random, stage: str, process: str) -> Fault:
    """Data and report show no progress: they are struck by time, and early, for the machine may have become quicker."""
    working = rng.random() < 0.7 and stage not in ("data", "report")
    return Fault(stage, process, working, round(rng.uniform(0.05, 0.8) if working else rng.uniform(0.01, 0.25), 2))


def merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


@dataclass
class Study:
    """A whole copy of the project with a profile of small sizes, and its launcher as a person uses it."""

    root: Path
    finished: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of every run that was seen finished: inode and time of its result, which nobody may write again."""

    @classmethod
    def lay_out(cls, root: Path, like: Path = CHECKOUT) -> Study:
        """A study in `root`, of the same code as `like`: another study, so that edits meanwhile do not matter."""
        for part in ("gemvg_repro", "notebooks", "sweeps"):
            shutil.copytree(like / part, root / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        scales = root / "gemvg_repro" / "study" / "scales"
        miniature = yaml.safe_load((scales / "miniature.yaml").read_text())
        (scales / "small.yaml").write_text(yaml.safe_dump(merged(miniature, SMALL)))
        grid = {
            "scientific": {"mode": ["hybrid"]},
            "nuisance": {"seed": [0]},
            "fixed": {"profile": "small", "samples": 20},
            "resources": {"cluster": "local", "jobs": 1},
        }
        (root / "sweeps" / "small.yaml").write_text(yaml.safe_dump(grid))
        return cls(root)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The launcher, in the background; what it prints is appended to launcher.log."""
        command = [sys.executable, str(self.root / "sweeps" / "launch.py"), "sweeps/small.yaml", *arguments]
        environment = os.environ | {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        with (self.root / "launcher.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.root, env=environment, stdout=log, stderr=log)

    def folder(self, stage: str) -> Path | None:
        """The run directory of a stage, or None before it began."""
        if stage == "report":
            return self.runs / REPORT_FOLDER
        folders = [path for path in self.runs.glob(f"{stage}-*") if path.name.rpartition("-")[0] == stage]
        return folders[0] if folders else None

    def is_over(self, stage: str) -> bool:
        folder = self.folder(stage)
        return stage != "report" and folder is not None and (folder / "result.json").is_file()

    def family(self, stage: str, launcher: int) -> dict[str, psutil.Process]:
        """The living processes that are at work on a stage, by what they are; empty while there is no job."""
        desks = [path for path in self.runs.glob(f".jobs/{stage}*") if path.name.rpartition("-")[0] == stage]
        desk = self.runs / ".jobs" / REPORT_FOLDER if stage == "report" else desks[0] if desks else None
        owner = owner_of(desk / "job.lock") if desk else None
        if owner is None or not owner.pid:
            return {}
        processes: dict[str, psutil.Process] = {}
        with suppress(psutil.Error):
            processes["launcher"] = psutil.Process(launcher)
        with suppress(psutil.Error):
            job = psutil.Process(owner.pid)
            processes["job"] = job
            parent = job.parent()
            processes |= {"controller": parent} if parent and "submitit" in " ".join(parent.cmdline()) else {}
            for child in job.children(recursive=True):
                command = " ".join(child.cmdline())
                processes |= {"kernel": child} if "ipykernel" in command else {}
                processes |= {"papermill": child} if "papermill" in command and "ipykernel" not in command else {}
        return {name: process for name, process in processes.items() if process.status() != psutil.STATUS_ZOMBIE}

    def check(self) -> None:
        """That no run has two writers, and that nothing finished was written again."""
        at_work: Counter[str] = Counter()
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            at_work.update(w for w in command if w.endswith("notebook.part.ipynb") and w.startswith(str(self.runs)))
        assert max(at_work.values(), default=0) <= 1, f"two writers: {at_work}"
        for result in self.runs.glob("*/result.json"):
            status = result.stat()
            seen = self.finished.setdefault(str(result), (status.st_ino, status.st_mtime_ns))
            assert seen == (status.st_ino, status.st_mtime_ns), f"{result} was written again"

    def until(self, true: Callable[[], bool]) -> None:
        """Waits, and looks after the study meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        looked = 0.0
        while not true():
            assert time.monotonic() < deadline, (self.root / "launcher.log").read_text()[-3000:]
            if time.monotonic() > looked + 0.5:
                self.check()
                looked = time.monotonic()
            time.sleep(0.05)

    def finish(self) -> None:
        """The same command until nothing is left to do."""
        launcher = self.start()
        self.until(lambda: launcher.poll() is not None)
        assert launcher.returncode == 0, (self.root / "launcher.log").read_text()[-3000:]

    def seconds(self, stage: str) -> float:
        """How long the notebook of a finished stage took."""
        folder = self.folder(stage)
        assert folder is not None
        notebook = folder / ("report.ipynb" if stage == "report" else "notebook.ipynb")
        return float(json.loads(notebook.read_text())["metadata"]["papermill"]["duration"])

    def done(self, stage: str) -> int:
        """How many steps, or answers, of a stage are on disk."""
        folder = self.folder(stage)
        files = [*folder.glob("log.jsonl"), *folder.glob("predictions-*.jsonl")] if folder else []
        return sum(path.read_text().count("\n") for path in files)

    def numbers(self) -> dict[str, str]:
        """The hash of every model, answer, score and reward, and of every step's loss, by run and name.

        The report is left out: it also has seconds and memory, which no two studies share.
        """
        hashes = {}
        for path in sorted(self.runs.glob("*-*/**/*")):
            name = str(path.relative_to(self.runs))
            if name.startswith(f"{REPORT_FOLDER}/"):
                continue
            if path.suffix == ".parquet":
                hashes[name] = _hash(repr(pq.read_table(path).to_pylist()).encode())
            elif path.name == "log.jsonl":
                steps = pd.read_json(path, lines=True)
                steps = steps.drop(columns=[name for name in steps if str(name).startswith("seconds")])
                assert list(steps["step"]) == list(range(1, len(steps) + 1)), f"{name} has steps {list(steps['step'])}"
                hashes[name] = _hash(steps.to_json(orient="split", double_precision=15).encode())
            elif path.suffix in (".safetensors", ".png") or path.name.startswith("predictions"):
                hashes[name] = _hash(path.read_bytes())
        return hashes


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Striker:
    """Strikes one study, stage after stage, and starts its launcher again whenever that is needed."""

    study: Study
    like: Study
    launcher: subprocess.Popen[bytes] | None = None

    def strike(self, fault: Fault) -> str:
        """Carries one blow out; returns what was on disk then, or nothing if the stage was over before."""
        self._reach(fault.stage)
        if self.study.is_over(fault.stage):
            return ""
        wait = time.monotonic() + fault.moment * self.like.seconds(fault.stage)
        enough = fault.moment * self.like.done(fault.stage)

        def is_due() -> bool:
            assert self.launcher is not None
            due = self.study.done(fault.stage) >= enough if fault.working else time.monotonic() >= wait
            return due or self.study.is_over(fault.stage) or self.launcher.poll() is not None

        self.study.until(is_due)
        victim: list[psutil.Process] = []

        def is_there() -> bool:  # a process of the stage may not have been started yet, on a slow machine
            assert self.launcher is not None
            process = self.study.family(fault.stage, self.launcher.pid).get(fault.process)
            victim.extend([process] if process else [])
            return bool(victim) or self.study.is_over(fault.stage) or self.launcher.poll() is not None

        self.study.until(is_there)
        if not victim or self.study.is_over(fault.stage):
            return ""
        assert self.launcher is not None
        job = self.study.family(fault.stage, self.launcher.pid).get("job")
        victim[0].kill()
        if fault.process in ("job", "papermill", "kernel"):  # this execution ends; another is struck next
            self.study.until(lambda: self.study.family(fault.stage, 0).get("job") != job)
        return f"{self.study.done(fault.stage)} of {self.like.done(fault.stage)} lines"

    def _reach(self, stage: str) -> None:
        """Starts the launcher until the stage is at work, or over."""
        arguments = [] if stage == "report" else ["--only", "!report"]
        if stage == "report" and self.launcher is not None:
            self.study.until(lambda: self.launcher is None or self.launcher.poll() is not None)

        def at_work() -> bool:
            if self.launcher is None or self.launcher.poll() is not None:
                if self.study.is_over(stage):
                    return True
                self.launcher = self.study.start(*arguments)
            return self.study.is_over(stage) or "job" in self.study.family(stage, self.launcher.pid)

        self.study.until(at_work)

    def rest(self) -> None:
        """Waits for the launcher that is still there, then gives the command once more."""
        if self.launcher is not None:
            self.study.until(lambda: self.launcher is None or self.launcher.poll() is not None)
        self.study.finish()


def undisturbed(folder: Path) -> Study:
    """A study that is left alone; one that is there already, and finished, is taken."""
    study = Study(folder) if folder.exists() else Study.lay_out(folder)
    if not (study.runs / REPORT_FOLDER / "report.html").is_file():
        study.finish()
    return study


def struck(folder: Path, like: Study, blows: list[Fault], say: Callable[[Fault, str], None]) -> Study:
    """A study that is struck so, and finished. Of every blow is said what was on disk; nothing if it came too late."""
    striker = Striker(Study.lay_out(folder, like.root), like)
    for fault in blows:
        say(fault, striker.strike(fault))
    striker.rest()
    return striker.study


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("count", type=int, help="of kills that hit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="an empty one for the studies (default: one of the system's)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    began, hits, wrong = time.monotonic(), 0, 0
    whole = undisturbed(folder / "undisturbed")
    expected = whole.numbers()
    say(f"undisturbed: {len(expected)} numbers in {time.monotonic() - began:.0f} s; kills of seed {options.seed}:")

    def tell(fault: Fault, found: str) -> None:
        nonlocal hits
        hits += bool(found)
        say(f"{hits:3}  {fault}: {found}" if found else f"     {fault}: too late, it was over")

    for number, blows in enumerate(faults(options.seed), 1):
        hashes = struck(folder / f"struck-{number}", whole, blows[: options.count - hits], tell).numbers()
        differing = sorted(k for k in {*hashes, *expected} if hashes.get(k) != expected.get(k))
        wrong += bool(differing)
        say(f"     study {number}: {', '.join(differing) or 'the undisturbed numbers'}")
        if hits >= options.count or number > options.count:
            break
    say(f"{hits} kills in {time.monotonic() - began:.0f} s; studies with other numbers: {wrong}; all in {folder}")
    return int(bool(wrong) or hits < options.count)


def say(line: str) -> None:
    """For the terminal, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

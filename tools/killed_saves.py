"""Does a training resume from its newest sealed checkpoint, wherever its saves are killed or fail?

    python -m tools.killed_saves [--kinds kills errors pairs] [--stages sft grpo] [--calls write ...] [--most N]

A tiny training has checkpoints of steps 2 and 4, and saves that of step 6, after which that of step 2 goes. By strace's
injection,
    kills   it is killed at a system call of that save, and in the next attempt at the same call again;
    errors  the call fails as over a quota, which must be told, and leave no unfinished checkpoint;
    pairs   it is killed at random calls of the saves of two attempts, one of them often a save that a stop asked for.
Then it is left alone. Every attempt must begin behind the newest sealed checkpoint, and the last end with the weights
of an undisturbed training, to the bit. All calls that write, rename, remove or sync are tried, or `--most` of each.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any

import torch
from tqdm import tqdm

from gemvg_repro.files.atomic import NotWritten
from gemvg_repro.grounding.samples import Sample
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.checkpoint_hashing import weights_hash
from gemvg_repro.training.checkpointing import SEAL
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.sft import train_sft
from tests.tiny_model import model_and_processor, samples
from tests.training.made import GRPO, SFT

CALLS = (
    "write", "pwrite64", "writev", "ftruncate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir",
    "mkdirat", "rmdir", "fsync", "fdatasync",
)  # fmt: skip
FAILING = ("write", "fsync")
PREPARED, SAVED, STEPS = 4, 6, 7
"""The steps of the checkpoint that a trial starts from, of the save that is disturbed, and of the whole training."""
HANGS_AFTER_S = 300
"""An attempt takes a second or two; one that takes so long is ended, and wrong."""


@dataclass(frozen=True)
class Fault:
    """What happens to the save of a step: at the `number`-th call of this name, SIGKILL, or the error of this name."""

    step: int
    call: str
    number: int
    error: str | None = None

    @property
    def injection(self) -> str:
        """As strace's -e takes it."""
        effect = f"error={self.error}" if self.error else "signal=SIGKILL"
        return f"inject={self.call}:{effect}:when={self.number}"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: by which signal, with which weights or error; and the steps that it took."""

    signal: int
    steps: list[int]
    weights: str | None = None
    not_written: str | None = None
    failure: str | None = None


_model_and_processor = cache(model_and_processor)
_samples = cache(samples)


@cache
def _validation() -> list[Sample]:
    return samples("validation")[:2]


class Attempt:
    """One training in a process of its own, which strace disturbs from the end of the fault's step to the next."""

    def __init__(self, stage: str, folder: Path, fault: Fault | None = None, listed: Path | None = None) -> None:
        self._stage = stage
        self._folder = folder
        self._fault = fault
        self._listed = listed
        self._step_of_save = fault.step if fault else SAVED if listed else None
        self._tracer: subprocess.Popen[str] | None = None
        self._last_step = max(sealed_steps(folder), default=0)
        self._taken = folder.with_name("steps")
        self._ended = folder.with_name("ended.json")

    def __call__(self) -> Outcome:
        for file in (self._taken, self._ended):
            file.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            self._train_and_exit()
        _, status = os.waitpid(child, 0)
        steps = [int(step) for step in self._taken.read_text().split()] if self._taken.exists() else []
        ended = json.loads(self._ended.read_text()) if self._ended.exists() else {}
        return Outcome(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, steps, **ended)

    def _train_and_exit(self) -> None:
        signal.alarm(HANGS_AFTER_S)
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        try:
            ended = {"weights": self.train()}
        except NotWritten as error:
            ended = {"not_written": str(error)}
        except BaseException:
            ended = {"failure": traceback.format_exc()}
        self._detach()
        self._ended.write_text(json.dumps(ended))
        os._exit(0)

    def train(self) -> str:
        model, processor = _model_and_processor()
        about: dict[str, Any] = {
            "collate": ConversationCollator(processor, 20), "seed": 0, "folder": self._folder,
            "record": self._record, "stop": self._stop,
        }  # fmt: skip
        if self._stage == "sft":
            settings = replace(SFT, steps=STEPS)
            train_sft(model, processor, training_conversations(_samples(), settings, 0), settings, **about)
        else:
            settings_grpo = replace(GRPO, steps=STEPS)
            train_grpo(model, processor, _samples(), _validation(), FORMS["hybrid"], settings_grpo, **about)
        return weights_hash(model)

    def _record(self, entry: dict[str, Any]) -> None:
        """Called when a step is logged, just before its checkpoint is saved."""
        self._detach()
        self._last_step = entry["step"]
        with self._taken.open("a") as file:
            file.write(f"{entry['step']}\n")
        if entry["step"] == self._step_of_save:
            self._attach()

    def _stop(self) -> bool:
        """Asks for a save in the fault's step, where there is none by itself."""
        step = self._fault.step if self._fault else 0
        return step % SFT.save_every == 1 and step == self._last_step + 1

    def _attach(self) -> None:
        command = ["strace", "-f", "-o", str(self._listed or os.devnull), "-e", f"trace={','.join(CALLS)}"]
        if self._fault:
            command += ["-e", self._fault.injection]
        command += ["-p", str(os.getpid())]
        self._tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._tracer.stderr is not None
        line = self._tracer.stderr.readline()
        if "attached" not in line:
            raise RuntimeError(f"strace: {line}")

    def _detach(self) -> None:
        if self._tracer is not None:
            self._tracer.terminate()
            self._tracer.wait()
            self._tracer = None


class Trials:
    """The trials of a stage, in folders below `root`."""

    def __init__(self, stage: str, root: Path) -> None:
        self.stage = stage
        self._root = root
        self.weights = Attempt(stage, self._folder("undisturbed")).train()
        _model_and_processor.cache_clear()
        _model_and_processor()  # what children find loaded, and forget, need not be loaded again
        gc.collect()
        gc.freeze()
        self._prepared = self._folder("prepared")
        Attempt(stage, self._prepared, Fault(SAVED, "write", 1))()
        shutil.rmtree(self._prepared / f"checkpoint-{SAVED}", ignore_errors=True)
        assert sealed_steps(self._prepared) == [2, PREPARED], sealed_steps(self._prepared)

    def calls(self) -> Counter[str]:
        """How often a save makes each system call, the removal of an older checkpoint included."""
        listed = self._root / "calls"
        Attempt(self.stage, self._copy(), listed=listed)()
        lines = [line.split(maxsplit=1) for line in listed.read_text().splitlines()]
        return Counter(match[0] for _, call in lines if (match := re.match(r"\w+(?=\()", call)))

    def run(self, faults: list[Fault]) -> str | None:
        """Disturbs an attempt by each fault, then lets one end; returns what is wrong with it, or None."""
        folder = self._copy()
        for fault in [*faults, None]:
            newest = max(sealed_steps(folder), default=0)
            if newest < PREPARED:
                return f"the newest sealed checkpoint is of step {newest}"
            if fault and fault.step <= newest:
                fault = None
            outcome = Attempt(self.stage, folder, fault)()
            if wrong := _wrong(outcome, newest, fault, folder):
                return wrong
        return None if outcome.weights == self.weights else "other weights than those of an undisturbed training"

    def _folder(self, name: str) -> Path:
        folder = self._root / self.stage / name / "checkpoints"
        folder.mkdir(parents=True)
        return folder

    def _copy(self) -> Path:
        folder = self._root / self.stage / "trial" / "checkpoints"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(self._prepared, folder)
        return folder


def _wrong(outcome: Outcome, newest: int, fault: Fault | None, folder: Path) -> str | None:
    """What is wrong with an attempt that found `newest` as its newest sealed checkpoint."""
    if outcome.failure:
        return outcome.failure
    if outcome.steps[:1] not in ([newest + 1], []) or (not outcome.steps and newest < STEPS):
        return f"began with step {outcome.steps[:1]}, behind the sealed checkpoint of step {newest}"
    if outcome.signal not in (0, signal.SIGKILL):
        return f"ended by signal {outcome.signal}"
    unsealed = [checkpoint.name for checkpoint in folder.glob("checkpoint-*") if not (checkpoint / SEAL).is_file()]
    if outcome.signal == 0 and unsealed:
        return f"left {unsealed} without a seal"
    if fault is None and outcome.weights is None:
        return f"did not end: {outcome}"
    if outcome.not_written and not re.search(r"checkpoint-\d+ was not written: .*bytes.*free", outcome.not_written):
        return f"told as {outcome.not_written!r}"
    return None


def sealed_steps(folder: Path) -> list[int]:
    """The steps of the sealed checkpoints of a training."""
    return sorted(int(seal.parent.name.rpartition("-")[2]) for seal in folder.glob(f"checkpoint-*/{SEAL}"))


def trials(kinds: list[str], counts: Counter[str], most: int | None, pairs: int) -> Iterator[tuple[str, list[Fault]]]:
    """Each kind of trial with its faults; `most` numbers a call, evenly spaced, or all."""
    numbers = {call: _spread(count, most) for call, count in counts.items()}
    if "kills" in kinds:
        yield from (("kills", [Fault(SAVED, call, n)] * 2) for call in numbers for n in numbers[call])
    if "errors" in kinds:
        yield from (("errors", [Fault(SAVED, c, n, "EDQUOT")]) for c in FAILING for n in numbers.get(c, []))
    rng = Random("killed saves")
    for _ in range(pairs if "pairs" in kinds else 0):
        steps = rng.choice([(5, 5), (5, 6), (5, 7), (6, 6), (6, 7)])
        calls = rng.choices(list(counts), weights=list(counts.values()), k=2)
        yield "pairs", [Fault(s, c, rng.randint(1, counts[c])) for s, c in zip(steps, calls, strict=True)]


def _spread(count: int, most: int | None) -> list[int]:
    if most is None or most >= count:
        return list(range(1, count + 1))
    return sorted({1 + int((k + 0.5) * count / most) for k in range(most)})


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.killed_saves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kinds", nargs="+", default=["kills", "errors", "pairs"])
    parser.add_argument("--stages", nargs="+", default=["sft", "grpo"])
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=CALLS, help="(default: all)")
    parser.add_argument("--most", type=int, help="numbers of each system call, evenly spaced (default: all)")
    parser.add_argument("--verbose", action="store_true", help="a line before each trial")
    parser.add_argument("--pairs", type=int, default=20, help="(default: %(default)s)")
    args = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed: apt-get install strace")
    torch.set_num_threads(1)
    tqdm.set_lock(RLock())  # its own is shared by all processes: who is killed in a progress bar would keep it
    wrong = 0
    for stage in args.stages:
        with TemporaryDirectory() as root:
            started, done = time.monotonic(), Counter[str]()
            subject = Trials(stage, Path(root))
            counts = Counter({call: n for call, n in subject.calls().items() if call in args.calls})
            print(f"{stage}: a save makes {dict(counts)}", flush=True)
            for kind, faults in trials(args.kinds, counts, args.most, args.pairs):
                done[kind] += 1
                if args.verbose:
                    print(f"{stage} {kind} {faults}", flush=True)
                if why := subject.run(faults):
                    wrong += 1
                    print(f"WRONG {stage} {kind} {faults}: {why}", flush=True)
            print(f"{stage}: {dict(done)} trials in {time.monotonic() - started:.0f} s, {wrong} wrong", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Trainings in as many processes as torch.distributed.run starts of this program, or in one without it.

Also with faults of a kind that one process has and the others have not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch.distributed.elastic.multiprocessing.errors import record

from gemvg_repro.study.variants import FORMS
from gemvg_repro.training import processes
from gemvg_repro.training.checkpoint_hashing import CheckpointHashing
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.sft import train_sft

from ..tiny_model import folder, model_and_processor, samples
from .made import GRPO, OPTIMISER, SFT

ADAMW = replace(OPTIMISER, muon_lr=None)
STEPS = 4


@dataclass(frozen=True)
class Task:
    """A training: `stage` is sft, adamw (SFT without Muon), or a form of GRPO.

    `stop_at`: the step in which the last process, and it alone, sees the request to stop; `late`: the last process
    writes its share a second late; `killed`: the last process is killed in its second step.
    """

    folder: str
    stage: str = "sft"
    stop_at: int = 0
    late: bool = False
    killed: bool = False


def carry_out(task: Task) -> tuple[Any, list[dict[str, Any]]]:
    """The model after the training, and the log entries that the first process has."""
    model, processor = model_and_processor()
    entries: list[dict[str, Any]] = []
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        if task.killed and steps == 2 and is_last():
            os.kill(os.getpid(), signal.SIGKILL)
        return is_last() and steps == task.stop_at

    if task.late and is_last():
        _delay_saving()
    shared: dict[str, Any] = {
        "collate": ConversationCollator(processor, 20), "seed": 0, "folder": Path(task.folder),
        "record": entries.append, "stop": stop,
    }  # fmt: skip
    if task.stage in FORMS:
        settings = replace(GRPO, steps=STEPS, prompts=4, optimiser=ADAMW)
        train_grpo(
            model, processor, samples(), samples("validation")[:6], FORMS[task.stage], settings, **shared
        )  # fmt: skip
    else:
        sft = replace(SFT, steps=STEPS, optimiser=OPTIMISER if task.stage == "sft" else ADAMW)
        train_sft(model, processor, training_conversations(samples(), sft, 0), sft, **shared)
    return model, entries


def is_last() -> bool:
    return processes.rank() == processes.count() - 1


def _delay_saving() -> None:
    save = CheckpointHashing.save

    def late(*args: Any) -> None:
        time.sleep(1)
        save(*args)

    CheckpointHashing.save = late  # type: ignore[method-assign, assignment]


def write_results(task: Task) -> None:
    """Carries the training out; the first process writes the weights and the log entries into its folder."""
    model, entries = carry_out(task)
    weights = {name: value.detach().contiguous().clone() for name, value in model.named_parameters()}
    folder = Path(task.folder)
    if processes.rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, folder / "weights.safetensors")
        (folder / "entries.json").write_text(json.dumps(entries))


def start(count: int, tasks: Sequence[Task]) -> subprocess.CompletedProcess[str]:
    """Carries the trainings out, one after the other, in so many processes."""
    content = json.dumps([vars(task) for task in tasks])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += ["-m", "tests.training.several", content]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=600
    )


@record
def main(work: Callable[[Task], None] = write_results) -> None:
    torch.set_num_threads(1)
    folder()  # transformers writes none in the other processes
    processes.join()
    for fields in cast(list[dict[str, Any]], json.loads(sys.argv[1])):
        work(Task(**fields))
    processes.leave()


if __name__ == "__main__":
    main()

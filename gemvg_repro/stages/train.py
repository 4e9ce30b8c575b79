"""How is one training run carried out, from its prerequisites to its result?

The notebook's kernel owns the run, and alone writes its log, progress and result. It trains itself, or has several
processes train (`training_process`), and hears from the first of them as it would from itself.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from transformers import PreTrainedModel

from ..launching.processes import process_count, run_processes
from ..models.checkpoints import hashes
from ..models.loading import load, save
from ..models.processor import ImageOnlyProcessor
from ..runs.directory import Interrupted, Run
from ..runs.layout import CHECKPOINTS, MODEL, VALIDATION_REWARD, VALIDATION_REWARD_BEFORE, JobFiles
from ..runs.log import Log
from ..runs.progress import ProgressPrinter
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..study.variants import FORMS
from ..training import lora, processes
from ..training.checkpointing import SealedCheckpoint, resume_point
from ..training.collator import ConversationCollator
from ..training.compute_matching import grpo_flops
from ..training.grpo import train_grpo
from ..training.settings import GRPOSettings, SFTSettings
from ..training.sft import train_sft
from .best_draws import with_best_draws
from .out_of_memory import cuts_named
from .peak_memory import peak_memory
from .prerequisites import ensure
from .samples import TrainingSamples, for_training
from .supervised import supervised_stage
from .tensorboard import TensorBoard
from .validation_rewards import sampled_rewards, write_table
from .watching import GreedyWatch
from .weights import initial_weights

PROCESS = "gemvg_repro.stages.training_process"


def train(spec: RunSpec[TrainParameters]) -> Path:
    """Carries out the training that a notebook asks for, or resumes it; returns its run directory.

    A finished run is left as it is. Prerequisites are made or required, as `prerequisites` says.
    """
    prerequisites = ensure(spec)
    start = initial_weights(spec)
    torch.set_num_threads(spec.threads)
    count = process_count(torch.cuda.device_count())
    with Run.open(spec.parameters.runs_folder, spec.identity.name, spec.identity.parameters, count) as run:
        if run.finished is None:
            _carry_out(run, spec, start, prerequisites, count)
        return run.folder


def _carry_out(
    run: Run, spec: RunSpec[TrainParameters], start: Path, prerequisites: Mapping[str, str], count: int
) -> None:
    started = time.monotonic()
    recorder = _Recorder(run, spec.kind)
    if count == 1:
        cost = train_model(spec, start, recorder)
    else:
        arguments = [json.dumps(dict(spec.parameters)), str(start)]
        cost = run_processes(count, PROCESS, arguments, JobFiles(run.folder).folder, recorder.on_event)
    run.stop_if_requested()
    result = _result(spec, run.log(), recorder.seconds_before + time.monotonic() - started, cost)
    run.finish({**result, "prerequisites": prerequisites, "weights": hashes(run.folder / MODEL)})
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)


class Observer(Protocol):
    """What a training tells, in its first process, and where it learns that it is to stop."""

    def begin(self, resumed: SealedCheckpoint) -> None:
        """Called before anything else, with the checkpoint that it resumes from."""

    def step(self, entry: dict[str, Any]) -> None:
        """Called with the log entry of a step."""

    def sealed(self, checkpoint: SealedCheckpoint) -> None:
        """Called with each checkpoint, after the entry of its step."""

    def stop_requested(self) -> bool:
        """Whether the training is to stop: asked in every process."""


def train_model(spec: RunSpec[TrainParameters], start: Path, observer: Observer) -> dict[str, float]:
    """Trains the model of a run and saves it in the run's folder; its part of the run's cost.

    In each of the processes, if there are several.

    Raises:
        Interrupted: a stop was requested; all that was done is on disk.
    """
    folder = spec.folder
    observer.begin(SealedCheckpoint.at(processes.from_first(lambda: resume_point(folder / CHECKPOINTS))))
    model, processor = load(start, spec.profile.dtype, spec.profile.max_pixels)
    stage = _train_grpo if spec.kind in FORMS else _train_sft
    collate = ConversationCollator(processor, spec.profile.coordinate_step)
    with cuts_named(spec, start, processes.count()):
        settings = stage(spec, model, processor, collate, for_training(spec), observer)
    _stop_if_requested(observer)
    processes.from_first(lambda: _save(model, processor, folder))
    peaks = processes.gathered(peak_memory())
    return {
        "flops_per_token": settings.flops_per_token,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{name: max(peak[name] for peak in peaks) for name in peaks[0]},  # of the process that has most
    }


def _save(model: PreTrainedModel, processor: ImageOnlyProcessor, folder: Path) -> None:
    shutil.rmtree(folder / f"{MODEL}.part", ignore_errors=True)
    if not (folder / MODEL).is_dir():
        save(model, processor, folder / MODEL)


def _stop_if_requested(observer: Observer) -> None:
    """Raises Interrupted in every process if one of them knows of a request to stop."""
    if processes.any_of(observer.stop_requested()):
        raise Interrupted("the training was stopped as requested; the same command resumes it")


class _Recorder:
    """Passes on each step to the run's log, to progress.json and to the notebook's output, and each checkpoint to
    progress.json: whoever may end the training needs to know what survives it, and how long a save takes.

    Attributes:
        seconds_before: those of the steps of earlier attempts.
    """

    def __init__(self, run: Run, mode: str) -> None:
        self._run = run
        self._log = run.log()
        self._tensorboard = TensorBoard(run.folder)
        self._print = ProgressPrinter(mode)
        self.seconds_before = 0.0
        self._last: dict[str, Any] | None = None
        self._checkpoint: dict[str, float] = {}
        self._greedy: dict[str, float] = {}
        self.stop_requested = run.stop_requested

    def on_event(self, event: str, value: Any) -> None:
        """Called with what the first of several processes tells."""
        if event == "step":
            self.step(value)
        else:
            {"begin": self.begin, "sealed": self.sealed}[event](SealedCheckpoint(**value))

    def begin(self, resumed: SealedCheckpoint) -> None:
        """Called before anything else, with the checkpoint that the training resumes from."""
        self._log.rewind(resumed.step)
        self.seconds_before = float((self._log.records() or [{"seconds": 0.0}])[-1]["seconds"])
        self.sealed(resumed)

    def step(self, entry: dict[str, Any]) -> None:
        """Called with the log entry of a step."""
        self._log.append({**entry, "seconds": round(entry["seconds"] + self.seconds_before, 3)})
        self._tensorboard.write(entry)
        self._last = entry
        measures = self._write_progress(entry)
        self._print(entry["step"], entry["total_steps"], entry["seconds_left"], measures)

    def sealed(self, checkpoint: SealedCheckpoint) -> None:
        """Called with each checkpoint, after the entry of its step."""
        self._checkpoint["sealed_step"] = checkpoint.step
        if checkpoint.seconds is not None:
            self._checkpoint["save_seconds"] = checkpoint.seconds
        if self._last is not None:
            self._write_progress(self._last)

    def _write_progress(self, entry: dict[str, Any]) -> dict[str, float]:
        """Writes progress.json; returns the measures of the step."""
        self._greedy.update({k: value for k, value in entry.items() if k.startswith("greedy/f1/")})
        measures: dict[str, float] = {k: entry[k] for k in ("loss", "reward") if k in entry} | self._greedy
        step, total, seconds_left = (entry[key] for key in ("step", "total_steps", "seconds_left"))
        self._run.progress(step, total, seconds_left, **measures, **self._checkpoint)
        return measures


def _train_sft(
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    collate: ConversationCollator,
    given: TrainingSamples,
    observer: Observer,
) -> SFTSettings:
    """A supervised stage; returns its settings."""
    settings, batches = supervised_stage(spec, given.labelled, given.prompts, collate)
    if spec.kind == "sft_draws":
        batches = with_best_draws(batches, spec, model, processor)
    with _training(spec, model, processor, settings, given, observer) as about:
        train_sft(model, processor, batches, settings, collate=collate, **about)
    return settings


def _train_grpo(
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    collate: ConversationCollator,
    given: TrainingSamples,
    observer: Observer,
) -> GRPOSettings:
    """GRPO, with the reward of answers to fixed validation prompts before and after; returns its settings."""
    settings, form = spec.grpo, FORMS[spec.kind]
    watched = given.validation[: settings.watched_samples]
    measure = partial(sampled_rewards, model, processor, watched, form.modes, settings, observer.stop_requested)
    before = spec.folder / VALIDATION_REWARD_BEFORE
    if processes.from_first(lambda: not before.is_file()):
        rewards = measure("before")
        processes.from_first(lambda: write_table(before, rewards))
    with _training(spec, model, processor, settings, given, observer) as about:
        train_grpo(
            model, processor, given.prompts, watched[: settings.divergence_samples], form, settings,
            collate=collate, prefix_sharing=spec.profile.prefix_sharing, **about,
        )  # fmt: skip
    _stop_if_requested(observer)
    after = measure("after")
    processes.from_first(
        lambda: write_table(spec.folder / VALIDATION_REWARD, pd.concat([pd.read_parquet(before), after]))
    )
    return settings


@contextmanager
def _training(
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    settings: SFTSettings | GRPOSettings,
    given: TrainingSamples,
    observer: Observer,
) -> Iterator[dict[str, Any]]:
    """What both trainers are told alike; while they train, the model has LoRA's matrices, if the settings say so."""
    with lora.injected(model, settings.lora, spec.parameters.seed):
        yield {
            "seed": spec.parameters.seed,
            "folder": spec.folder / CHECKPOINTS,
            "record": observer.step,
            "watch": GreedyWatch(spec, model, processor, given.validation, settings),
            "stop": observer.stop_requested,
            "on_sealed": observer.sealed,
            "loader_workers": spec.profile.loader_workers,
        }


def _result(spec: RunSpec[TrainParameters], log: Log, seconds: float, cost: Mapping[str, float]) -> dict[str, Any]:
    """The run's last measures, its cost and its speed; of GRPO two counts of FLOPs (see `training.compute_matching`),
    and the tokens of its rollouts."""
    steps, grpo = log.records(), spec.profile.grpo
    last = steps[-1] if steps else {}
    tokens = int(last.get("tokens", 0))
    generated = sum(entry.get("length_mean", 0.0) * (grpo.prompts * grpo.rollouts) for entry in steps)
    parameters = int(cost["parameters"])
    flops = {"flops": int(cost["flops_per_token"]) * tokens * parameters}
    if spec.kind in FORMS:
        spent, unshared = grpo_flops(steps, spec.grpo, FORMS[spec.kind])
        flops = {"flops": round(spent * parameters), "flops_unshared": round(unshared * parameters)}
    return {
        "mode": spec.kind,
        "seed": spec.parameters.seed,
        "overrides": dict(spec.identity.overrides),
        "profile": spec.parameters.profile,
        "metrics": {k: v for k, v in last.items() if k in ("loss", "reward", "token_accuracy", "kl")},
        "cost": {
            "seconds": round(seconds, 1),
            "steps": last.get("step", 0),
            "tokens_trained": tokens,
            **flops,
            **{name: round(cost[name]) for name in cost if name.startswith("peak_")},
            "tokens_generated": round(generated),
            **_speed(steps, tokens),
        },
    }


def _speed(steps: Sequence[Mapping[str, Any]], tokens: int) -> dict[str, float]:
    """The seconds of all steps, of each of their parts, and the tokens that were trained on in each of them."""
    in_all = float(steps[-1]["seconds"]) if steps else 0.0
    parts = pd.DataFrame(steps).filter(regex="^seconds_(?!left)").sum()
    return {
        "seconds_of_steps": in_all,
        **{str(name): round(float(seconds), 3) for name, seconds in parts.items()},
        "tokens_per_second": round(tokens / in_all, 1) if in_all else 0.0,
    }

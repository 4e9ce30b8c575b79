"""How is one training run carried out, from its prerequisites to its result?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import Qwen2VLForConditionalGeneration

from ..corpora.index import Split
from ..grounding.samples import Sample
from ..models.checkpoints import hashes
from ..models.loading import load, save
from ..models.processor import ImageOnlyProcessor
from ..runs.directory import Run
from ..runs.layout import CHECKPOINTS, DRAWN_ANSWERS, MODEL, VALIDATION_REWARD, VALIDATION_REWARD_BEFORE
from ..runs.log import Log
from ..runs.progress import ProgressPrinter
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..study.variants import FORMS
from ..training.checkpointing import SealedCheckpoint, resume_point
from ..training.collator import ConversationCollator
from ..training.compute_matching import grpo_flops
from ..training.grpo import train_grpo
from ..training.settings import GRPOSettings, SFTSettings
from ..training.sft import train_sft
from . import samples
from .out_of_memory import cuts_named
from .peak_memory import peak_memory
from .prerequisites import ensure
from .supervised import first_of_each_scene, prompts_of, supervised_stage, with_best_draws
from .validation_rewards import sampled_rewards, write_table
from .watching import GreedyWatch
from .weights import initial_weights

SamplesBySplit = Mapping[Split, Sequence[Sample]]


def train(spec: RunSpec[TrainParameters]) -> Path:
    """Carries out the training that a notebook asks for, or resumes it; returns its run directory.

    A finished run is left as it is. Prerequisites are made or required, as `prerequisites` says.
    """
    prerequisites = ensure(spec)
    start = initial_weights(spec)
    torch.set_num_threads(spec.threads)
    with Run.open(spec.parameters.runs_folder, spec.identity.name, spec.identity.parameters) as run:
        if run.finished is None:
            _carry_out(run, spec, start, prerequisites)
        return run.folder


def _carry_out(run: Run, spec: RunSpec[TrainParameters], start: Path, prerequisites: Mapping[str, str]) -> None:
    started = time.monotonic()
    log = run.log()
    checkpoints = run.folder / CHECKPOINTS
    resumed = SealedCheckpoint.at(resume_point(checkpoints))
    log.rewind(resumed.step)
    recorder = _Recorder(run, log, spec.kind, resumed)
    model, processor = load(start, spec.profile.dtype, spec.profile.max_pixels)
    stage = _train_grpo if spec.kind in FORMS else _train_sft
    collate = ConversationCollator(processor, spec.profile.coordinate_step)
    with cuts_named(spec, start):
        settings = stage(run, spec, model, processor, collate, samples.for_training(spec), recorder)
    run.stop_if_requested()
    partial = run.folder / f"{MODEL}.part"
    shutil.rmtree(partial, ignore_errors=True)
    if not (run.folder / MODEL).is_dir():
        save(model, processor, run.folder / MODEL)
    seconds = recorder.seconds_before + time.monotonic() - started
    result = _result(spec, log, seconds, settings, sum(p.numel() for p in model.parameters()))
    run.finish({**result, "prerequisites": prerequisites, "weights": hashes(run.folder / MODEL)})
    shutil.rmtree(checkpoints, ignore_errors=True)


class _Recorder:
    """Passes on each step to the run's log, to progress.json and to the notebook's output, and each checkpoint to
    progress.json: whoever may end the training needs to know what survives it, and how long a save takes.

    Attributes:
        seconds_before: those of the steps of earlier attempts.
    """

    def __init__(self, run: Run, log: Log, mode: str, resumed: SealedCheckpoint) -> None:
        self._run = run
        self._log = log
        self._print = ProgressPrinter(mode)
        self.seconds_before = float((log.records() or [{"seconds": 0.0}])[-1]["seconds"])
        self._last: dict[str, Any] | None = None
        self._checkpoint: dict[str, float] = {}
        self._greedy: dict[str, float] = {}
        self.sealed(resumed)

    def step(self, entry: dict[str, Any]) -> None:
        """Called with the log entry of a step."""
        self._log.append({**entry, "seconds": round(entry["seconds"] + self.seconds_before, 3)})
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
    run: Run,
    spec: RunSpec[TrainParameters],
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    collate: ConversationCollator,
    by_split: SamplesBySplit,
    recorder: _Recorder,
) -> SFTSettings:
    """A supervised stage; returns its settings."""
    controls = spec.kind not in spec.sft
    settings, batches = supervised_stage(spec, by_split["train"], prompts_of(spec) if controls else (), collate)
    if spec.kind == "sft_draws":
        batches = with_best_draws(batches, spec, model, processor, run.folder / DRAWN_ANSWERS)
    train_sft(
        model, processor, batches, settings,
        collate=collate, seed=spec.parameters.seed, folder=run.folder / CHECKPOINTS,
        record=recorder.step, watch=GreedyWatch(spec, model, processor, by_split["validation"], settings),
        stop=run.stop_requested, on_sealed=recorder.sealed,
        loader_workers=spec.profile.loader_workers,
    )  # fmt: skip
    return settings


def _train_grpo(
    run: Run,
    spec: RunSpec[TrainParameters],
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    collate: ConversationCollator,
    by_split: SamplesBySplit,
    recorder: _Recorder,
) -> GRPOSettings:
    """GRPO, with the reward of answers to fixed validation prompts before and after; returns its settings."""
    settings, form = spec.grpo, FORMS[spec.kind]
    watched = by_split["validation"][: settings.watched_samples]
    measure = partial(sampled_rewards, model, processor, watched, form.modes, settings, run.stop_if_requested)
    before = run.folder / VALIDATION_REWARD_BEFORE
    if not before.is_file():
        write_table(before, measure("before"))
    prompts = first_of_each_scene(by_split["train"])
    train_grpo(
        model, processor, prompts, watched[: settings.divergence_samples], form, settings,
        collate=collate, seed=spec.parameters.seed, folder=run.folder / CHECKPOINTS,
        record=recorder.step, watch=GreedyWatch(spec, model, processor, by_split["validation"], settings),
        stop=run.stop_requested, on_sealed=recorder.sealed,
        loader_workers=spec.profile.loader_workers, prefix_sharing=spec.profile.prefix_sharing,
    )  # fmt: skip
    run.stop_if_requested()
    write_table(run.folder / VALIDATION_REWARD, pd.concat([pd.read_parquet(before), measure("after")]))
    return settings


def _result(
    spec: RunSpec[TrainParameters], log: Log, seconds: float, settings: SFTSettings | GRPOSettings, parameters: int
) -> dict[str, Any]:
    """The run's last measures and its cost; of GRPO two counts of FLOPs (see `training.compute_matching`), and the
    tokens of its rollouts."""
    steps, grpo = log.records(), spec.profile.grpo
    last = steps[-1] if steps else {}
    tokens = int(last.get("tokens", 0))
    generated = sum(entry.get("length_mean", 0.0) * (grpo.prompts * grpo.rollouts) for entry in steps)
    flops = {"flops": settings.flops_per_token * tokens * parameters}
    if isinstance(settings, GRPOSettings):
        spent, unshared = grpo_flops(steps, settings, FORMS[spec.kind])
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
            **peak_memory(),
            "tokens_generated": round(generated),
        },
    }

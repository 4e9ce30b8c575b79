"""How is one training run carried out, from its prerequisites to its result?"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import Qwen2VLForConditionalGeneration

from ..grounding.samples import Sample
from ..models.checkpoints import hashes
from ..models.loading import load, save
from ..models.processor import ImageOnlyProcessor
from ..runs.directory import Run
from ..runs.layout import CHECKPOINTS, MODEL, VALIDATION_REWARD, VALIDATION_REWARD_BEFORE
from ..runs.log import Log
from ..runs.progress import ProgressPrinter
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..study.variants import FORMS, ancestors
from ..training.checkpointing import newest_checkpoint
from ..training.collator import Conversation, ConversationCollator
from ..training.compute_matching import compute_matched_steps, flops_per_token
from ..training.grpo import prompt_dataset, train_grpo
from ..training.settings import SFTSettings
from ..training.sft import train_sft, training_conversations
from . import samples
from .prerequisites import ensure
from .validation_rewards import sampled_rewards, write_table
from .weights import initial_weights

Record = Callable[[dict[str, Any]], None]
"""Takes what is logged of a step."""


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
    log.rewind(_steps_of(newest_checkpoint(checkpoints)))
    seconds_before = float((log.records() or [{"seconds": 0.0}])[-1]["seconds"])
    record = _recorder(run, log, spec.kind, seconds_before)
    model, processor = load(start, spec.profile.dtype, spec.profile.max_pixels)
    stage = _train_grpo if spec.kind in FORMS else _train_sft
    flops_of_token = stage(run, spec, model, processor, record)
    partial = run.folder / f"{MODEL}.part"
    shutil.rmtree(partial, ignore_errors=True)
    if not (run.folder / MODEL).is_dir():
        save(model, processor, run.folder / MODEL)
    seconds = seconds_before + time.monotonic() - started
    flops = flops_of_token * sum(p.numel() for p in model.parameters())
    result = _result(spec, log, seconds, flops)
    run.finish({**result, "prerequisites": prerequisites, "weights": hashes(run.folder / MODEL)})
    shutil.rmtree(checkpoints, ignore_errors=True)


def _recorder(run: Run, log: Log, mode: str, seconds_before: float) -> Record:
    """What a trainer calls after a step: it logs, and shows the progress."""
    announce = ProgressPrinter(mode)

    def record(entry: dict[str, Any]) -> None:
        log.append({**entry, "seconds": round(entry["seconds"] + seconds_before, 3)})
        measures: dict[str, float] = {k: entry[k] for k in ("loss", "reward") if k in entry}
        run.progress(entry["step"], entry["total_steps"], entry["seconds_left"], **measures)
        announce(entry["step"], entry["total_steps"], entry["seconds_left"], measures)

    return record


def _train_sft(
    run: Run,
    spec: RunSpec[TrainParameters],
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    record: Record,
) -> int:
    """A supervised stage; returns the FLOPs of a token and parameter."""
    settings, batches = supervised_stage(spec, samples.load(spec, "train"), processor)
    train_sft(
        model, processor, batches, settings,
        coordinate_step=spec.profile.coordinate_step, seed=spec.parameters.seed, folder=run.folder / CHECKPOINTS,
        record=record, stop=run.stop_requested,
    )  # fmt: skip
    run.stop_if_requested()
    return flops_per_token(settings)


def supervised_stage(
    spec: RunSpec[TrainParameters], train_samples: Sequence[Sample], processor: ImageOnlyProcessor
) -> tuple[SFTSettings, list[Conversation]]:
    """What a supervised stage trains on, and for how long.

    A supervised stage goes on in the samples of a seed, which have one order, where those before it have stopped: its
    data is fresh as long as there is any. `sft_more` takes as many steps as cost what the dearest variant of GRPO does,
    by an estimate from the settings and the data.
    """
    profile, steps, seed = spec.profile, spec.parameters.steps, spec.parameters.seed
    stages = {"sft": profile.sft, "cot_sft": profile.cot_sft}
    before = [stages[mode].for_steps(steps) for mode in ancestors(spec.kind)]
    seen = sum(stage.steps * stage.conversations for stage in before)
    settings = stages.get(spec.kind, profile.cot_sft).for_steps(steps)
    if spec.kind == "sft_more":
        grpo = profile.grpo.for_steps(steps)
        first = first_of_each_scene(train_samples)
        order = prompt_dataset(first, ("direct",), grpo.steps * grpo.prompts, seed)["index"]
        like_before = training_conversations(train_samples, profile.cot_sft, seed, seen=seen)
        collate = ConversationCollator(processor, profile.coordinate_step)
        settings = profile.cot_sft.for_steps(
            compute_matched_steps(like_before, [first[i] for i in order], profile.cot_sft, grpo, collate)
        )
    return settings, training_conversations(train_samples, settings, seed, seen=seen)


def _train_grpo(
    run: Run,
    spec: RunSpec[TrainParameters],
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    record: Record,
) -> int:
    """GRPO, with the reward of answers to fixed validation prompts before and after; returns the FLOPs of a token and
    parameter."""
    settings, form = spec.profile.grpo.for_steps(spec.parameters.steps), FORMS[spec.kind]
    validation, train_samples = samples.load_splits(spec, "validation", "train")
    watched = validation[: settings.watched_samples]
    measure = partial(sampled_rewards, model, processor, watched, form.modes, settings)
    before = run.folder / VALIDATION_REWARD_BEFORE
    if not before.is_file():
        write_table(before, measure("before"))
    prompts = first_of_each_scene(train_samples)
    train_grpo(
        model, processor, prompts, watched[: settings.divergence_samples], form, settings,
        coordinate_step=spec.profile.coordinate_step, seed=spec.parameters.seed, folder=run.folder / CHECKPOINTS,
        record=record, stop=run.stop_requested,
    )  # fmt: skip
    run.stop_if_requested()
    write_table(run.folder / VALIDATION_REWARD, pd.concat([pd.read_parquet(before), measure("after")]))
    return flops_per_token(settings)


def first_of_each_scene(train_samples: Sequence[Sample]) -> list[Sample]:
    """The sample that each scene was made for: the kinds of these are mixed as in the test set."""
    first: dict[str, Sample] = {}
    for sample in train_samples:
        first.setdefault(sample.scene, sample)
    return list(first.values())


def _steps_of(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _result(spec: RunSpec[TrainParameters], log: Log, seconds: float, flops_of_token: int) -> dict[str, Any]:
    """The run's last measures and its cost; see `training.compute_matching` for the FLOPs. Only GRPO generates tokens:
    those of its rollouts."""
    steps, grpo = log.records(), spec.profile.grpo
    last = steps[-1] if steps else {}
    tokens = int(last.get("tokens", 0))
    generated = sum(entry.get("length_mean", 0.0) * (grpo.prompts * grpo.rollouts) for entry in steps)
    return {
        "mode": spec.kind,
        "seed": spec.parameters.seed,
        "metrics": {k: v for k, v in last.items() if k in ("loss", "reward", "token_accuracy", "kl")},
        "cost": {
            "seconds": round(seconds, 1),
            "steps": last.get("step", 0),
            "tokens_trained": tokens,
            "flops": flops_of_token * tokens,
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "tokens_generated": round(generated),
        },
    }

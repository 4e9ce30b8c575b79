"""How is one training run carried out, from its prerequisites to its result?"""

from __future__ import annotations

import io
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import Qwen2VLForConditionalGeneration

from ..files.atomic import write_bytes
from ..files.validation import Refused
from ..grounding.parsing import parse_answer
from ..grounding.rewards import Reward
from ..grounding.samples import Mode, Sample
from ..models.checkpoints import check, hashes
from ..models.generation import generate
from ..models.loading import load, save
from ..models.processor import ImageOnlyProcessor
from ..runs.directory import Run, parameters_of, result_of
from ..runs.layout import CHECKPOINTS, MODEL, PARAMETERS, VALIDATION_REWARD, VALIDATION_REWARD_BEFORE
from ..runs.log import Log
from ..runs.progress import ProgressPrinter
from ..study.hub import checkpoint_folder
from ..study.identity import CONTINUES, identify, threads_of
from ..study.parameters import TrainParameters
from ..study.plan import Job
from ..study.profiles import Profile, load_profile
from ..study.variants import FORMS
from ..training.checkpointing import newest_checkpoint
from ..training.collator import Conversation, ConversationCollator
from ..training.compute_matching import compute_matched_steps, flops_per_token
from ..training.grpo import prompt_dataset, train_grpo
from ..training.settings import SFTSettings
from ..training.sft import train_sft, training_conversations
from . import data as sources
from .prerequisites import ensure

_SEED_OF_REWARDS = 0


def weights_of(given: Path) -> Path:
    """The folder of weights that is meant by a run directory, by the weights within one, or by any other folder.

    Raises:
        Refused: the run is not finished, or the weights are not whole, or not those that it wrote.
    """
    run = given.parent if given.name == MODEL and (given.parent / PARAMETERS).is_file() else given
    if not (run / PARAMETERS).is_file():
        check(given)
        return given
    parameters_of(run)
    result = result_of(run)
    if result is None:
        raise Refused(f"{run} is a run that is not finished; give the command again that began it: it goes on")
    if not (run / MODEL).is_dir():
        raise Refused(f"{run} has no {MODEL}: it trained none. Give the directory of a training")
    check(run / MODEL, result.get("weights"))
    return run / MODEL


def base_of(profile: Profile) -> Path:
    """Where the base is: a folder, or the snapshot of a hub's name; it is looked at.

    Raises:
        Refused: it is not whole, not what its SHA256SUMS says, or cannot be had from the hub.
    """
    folder = checkpoint_folder(profile.base_folder())
    check(folder)
    return folder


def train(asked: TrainParameters) -> Path:
    """Carries out the training that a notebook asks for, or goes on with it; returns its run directory.

    A finished run is left as it is. Prerequisites are made or required, as asked.
    """
    profile = load_profile(asked.profile)
    needed = ensure(asked)
    identity = identify(asked, profile)
    earlier = CONTINUES[asked.mode]
    start = base_of(profile) if earlier is None else weights_of(needed[earlier].folder)
    torch.set_num_threads(threads_of(asked.mode, profile))
    with Run.open(asked.runs_folder, identity.name, identity.parameters) as run:
        if run.finished is None:
            _carry_out(run, asked, profile, needed, start)
        return run.folder


def _carry_out(
    run: Run, asked: TrainParameters, profile: Profile, needed: Mapping[str, Job], start: str | Path
) -> None:
    started = time.monotonic()
    log = run.log()
    checkpoints = run.folder / CHECKPOINTS
    log.rewind(_steps_of(newest_checkpoint(checkpoints)))
    spent_before = float((log.records() or [{"seconds": 0.0}])[-1]["seconds"])
    model, processor = load(start, profile.dtype, profile.max_pixels)
    data = needed["data"].folder

    announce = ProgressPrinter(asked.mode)

    def record(entry: dict[str, Any]) -> None:
        log.append({**entry, "seconds": round(entry["seconds"] + spent_before, 3)})
        measures: dict[str, float] = {k: entry[k] for k in ("loss", "reward") if k in entry}
        run.progress(entry["step"], entry["total_steps"], entry["seconds_left"], **measures)
        announce(entry["step"], entry["total_steps"], entry["seconds_left"], measures)

    if asked.mode in FORMS:
        passes = flops_per_token(profile.grpo)
        _train_grpo(run, asked, profile, data, model, processor, checkpoints, record)
    else:
        settings, chosen = supervised_stage(asked, profile, sources.load(data, asked, "train"), processor)
        passes = flops_per_token(settings)
        train_sft(
            model, processor, chosen, settings,
            coordinate_step=profile.coordinate_step, seed=asked.seed, folder=checkpoints, record=record,
            stop=run.stop_requested,
        )  # fmt: skip
        run.stop_if_requested()
    partial = run.folder / f"{MODEL}.part"
    shutil.rmtree(partial, ignore_errors=True)
    if not (run.folder / MODEL).is_dir():
        save(model, processor, run.folder / MODEL)
    spent = spent_before + time.monotonic() - started
    result = _result(asked, needed, log, spent, passes * sum(p.numel() for p in model.parameters()))
    result["weights"] = hashes(run.folder / MODEL)
    run.finish(_with_answers(result, log, profile.grpo.prompts * profile.grpo.rollouts))
    shutil.rmtree(checkpoints, ignore_errors=True)


def supervised_stage(
    asked: TrainParameters, profile: Profile, samples: Sequence[Sample], processor: ImageOnlyProcessor
) -> tuple[SFTSettings, list[Conversation]]:
    """What a supervised stage trains on, and for how long.

    A supervised stage goes on in the samples of a seed, which have one order, where those before it have stopped: its
    data is fresh as long as there is any. `sft_more` takes as many steps as cost what the dearest variant of GRPO does,
    by an estimate from the settings and the data.
    """
    before = {"sft": (), "cot_sft": (profile.sft,), "sft_more": (profile.sft, profile.cot_sft)}[asked.mode]
    seen = sum(stage.for_steps(asked.steps).steps * stage.conversations for stage in before)
    settings = (profile.sft if asked.mode == "sft" else profile.cot_sft).for_steps(asked.steps)
    if asked.mode == "sft_more":
        grpo = profile.grpo.for_steps(asked.steps)
        first = first_of_each_scene(samples)
        order = prompt_dataset(first, ("direct",), grpo.steps * grpo.prompts, asked.seed)["index"]
        like_before = training_conversations(samples, profile.cot_sft, asked.seed, seen=seen)
        collate = ConversationCollator(processor, profile.coordinate_step)
        settings = profile.cot_sft.for_steps(
            compute_matched_steps(like_before, [first[i] for i in order], profile.cot_sft, grpo, collate)
        )
    return settings, training_conversations(samples, settings, asked.seed, seen=seen)


def _train_grpo(
    run: Run,
    asked: TrainParameters,
    profile: Profile,
    data: Path,
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    checkpoints: Path,
    record: Any,
) -> None:
    """Stage 3, with the reward of answers to fixed validation prompts before and after it."""
    settings = profile.grpo.for_steps(asked.steps)
    form = FORMS[asked.mode]
    modes = form.modes
    watched = sources.load(data, asked, "validation")[: settings.watched_samples]
    before = run.folder / VALIDATION_REWARD_BEFORE
    if not before.is_file():
        write_table(before, drawn_rewards(model, processor, watched, modes, profile, "before"))
    samples = first_of_each_scene(sources.load(data, asked, "train"))
    train_grpo(
        model, processor, samples, watched[: settings.divergence_samples], form, settings,
        coordinate_step=profile.coordinate_step, seed=asked.seed, folder=checkpoints, record=record,
        stop=run.stop_requested,
    )  # fmt: skip
    run.stop_if_requested()
    after = drawn_rewards(model, processor, watched, modes, profile, "after")
    write_table(run.folder / VALIDATION_REWARD, pd.concat([pd.read_parquet(before), after]))


def drawn_rewards(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    modes: Sequence[Mode],
    profile: Profile,
    when: str,
) -> pd.DataFrame:
    """One row a sample, mode and term of the reward of an answer, and `total`, their weighted sum.

    Answers are drawn at the temperature of the training, whose aim is the reward of drawn answers, in each mode from
    one seed and so by the same chances before and after, and in every variant that has the mode; what it does to greedy
    ones is what the evaluations show.
    """
    reward = Reward(profile.grpo.weights)
    known = {sample.id: sample for sample in samples}
    rows = []
    for mode in modes:
        torch.manual_seed(_SEED_OF_REWARDS)
        batches = generate(
            model, processor, [(sample, mode) for sample in samples], batch=profile.evaluate.batch,
            max_new_tokens=profile.evaluate.max_new_tokens, temperature=profile.grpo.temperature,
        )  # fmt: skip
        for batch in batches:
            for said in batch:
                sample = known[said.sample]
                score = reward(sample, parse_answer(said.text, len(sample.pictures)), mode)
                for term, value in {**score.terms, "total": score.total}.items():
                    rows.append((sample.id, mode, when, term, value))
    return pd.DataFrame(rows, columns=["prompt", "mode", "when", "term", "value"])


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a parquet file as a whole or not at all."""
    content = io.BytesIO()
    table.to_parquet(content)
    write_bytes(path, content.getvalue())


def first_of_each_scene(samples: Sequence[Sample]) -> list[Sample]:
    """The sample that each scene was made for: the kinds of these are mixed as in the test set."""
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.scene, sample)
    return list(first.values())


def _steps_of(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _result(
    asked: TrainParameters, needed: Mapping[str, Job], log: Log, seconds: float, flops_a_token: int
) -> dict[str, Any]:
    """What the run came to, and its cost; see `training.budget` for the FLOPs."""
    steps = log.records()
    last = steps[-1] if steps else {}
    tokens = int(last.get("tokens", 0))
    return {
        "mode": asked.mode,
        "seed": asked.seed,
        "metrics": {k: v for k, v in last.items() if k in ("loss", "reward", "token_accuracy", "kl")},
        "cost": {
            "seconds": round(seconds, 1),
            "steps": last.get("step", 0),
            "tokens_trained": tokens,
            "flops": flops_a_token * tokens,
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
        "prerequisites": {mode: job.key for mode, job in needed.items()},
    }


def _with_answers(result: dict[str, Any], log: Log, answers_a_step: int) -> dict[str, Any]:
    """The result with the number of tokens that GRPO's rollouts have; other stages generate none."""
    generated = sum(entry.get("length_mean", 0.0) * answers_a_step for entry in log.records())
    return {**result, "cost": {**result["cost"], "tokens_generated": round(generated)}}

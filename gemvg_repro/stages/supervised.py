"""Which conversations does a supervised stage train on, and for how many steps?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from transformers import PreTrainedModel

from ..grounding.parsing import parse_answer
from ..grounding.rewards import Reward
from ..grounding.samples import MODES, Mode, Sample
from ..models.generation import Prompt
from ..models.processor import ImageOnlyProcessor
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..study.variants import FORMS, PAPER, ancestors
from ..training import processes
from ..training.collator import Conversation, ConversationCollator, Turn
from ..training.compute_matching import compute_matched_steps
from ..training.conversations import batched_by_length, training_conversations
from ..training.grpo import prompt_order
from ..training.settings import SFTSettings
from . import samples
from .shared_generation import shared_predictions
from .validation_rewards import write_table

DRAWS = 8
"""Sampled answers to a prompt, of which `sft_draws` learns the best."""


def supervised_stage(
    spec: RunSpec[TrainParameters],
    train_samples: Sequence[Sample],
    prompts: Sequence[Sample],
    collate: ConversationCollator,
) -> tuple[SFTSettings, list[Conversation]]:
    """The settings and the conversations of a supervised stage, in training order; those of `sft_draws` have true
    answers, which `with_best_draws` replaces.

    The samples of a seed have one order, in which each stage continues where the previous one stopped: its data is
    fresh as long as there is any. The controls have CoT SFT's settings, and their steps are a schedule of their own:

    - `sft_more` is compute-matched: it takes as many FLOPs as the most expensive variant of the paper's GRPO, estimated
      from the settings and the data.
    - `sft_labels` has each prompt of GRPO once, with its boxes and without a chain, and for each a CoT conversation of
      those that CoT SFT has trained on.
    - `sft_draws` has each prompt of GRPO once, in the two modes by turns.

    Args:
        spec: of the run.
        train_samples: of the supervised stages.
        prompts: of GRPO; the controls' only.
        collate: makes batches, of which the tokens are counted.
    """
    if spec.kind not in spec.sft:
        return _control(spec, train_samples, prompts, collate)
    settings = spec.sft[spec.kind]
    return settings, training_conversations(train_samples, settings, spec.parameters.seed, seen=_seen(spec, spec.kind))


def _seen(spec: RunSpec[TrainParameters], mode: str) -> int:
    """The conversations that the stages before have trained on."""
    return sum(spec.sft[before].steps * spec.sft[before].conversations for before in ancestors(mode))


def _control(
    spec: RunSpec[TrainParameters],
    train_samples: Sequence[Sample],
    prompts: Sequence[Sample],
    collate: ConversationCollator,
) -> tuple[SFTSettings, list[Conversation]]:
    settings, grpo, seed = spec.profile.cot_sft, spec.grpo, spec.parameters.seed
    chosen = [prompts[i] for i in prompt_order(len(prompts), grpo.steps * grpo.prompts, seed)]
    seen = _seen(spec, spec.kind)
    if spec.kind == "sft_more":
        like_before = training_conversations(train_samples, settings, seed, seen=seen)
        forms = [FORMS[variant] for variant in PAPER]
        settings = replace(settings, steps=compute_matched_steps(like_before, chosen, settings, grpo, forms, collate))
        return settings, training_conversations(train_samples, settings, seed, seen=seen)
    if spec.kind == "sft_draws":
        return _once([[Turn(s, mode)] for s, mode in zip(chosen, cycle(MODES), strict=False)], settings, seed)
    before = training_conversations(train_samples, spec.sft["cot_sft"], seed, seen=_seen(spec, "cot_sft"))
    chains = [turns for turns in before if turns[0].mode == "cot"]
    labels: list[Conversation] = [[Turn(s, "direct")] for s in chosen]
    return _once([*labels, *islice(cycle(chains), len(labels))], settings, seed)


def _once(
    conversations: Sequence[Conversation], settings: SFTSettings, seed: int
) -> tuple[SFTSettings, list[Conversation]]:
    """The settings for one pass through the conversations, and these in an order of the seed; whole batches, of which
    the last is filled up from the first."""
    rng = Random(f"control/{seed}")
    steps = math.ceil(len(conversations) / settings.conversations)
    shuffled = rng.sample(conversations, len(conversations))
    filled = list(islice(cycle(shuffled), steps * settings.conversations))
    return settings.for_steps(steps), batched_by_length(filled, settings.conversations, rng)


def with_best_draws(
    conversations: Sequence[Conversation],
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    file: Path,
) -> list[Conversation]:
    """The same prompts with the best by reward of DRAWS answers that the model samples, kept in `file`: it is the start
    that draws them, also for a training that resumes."""
    if processes.from_first(lambda: not file.is_file()):
        turns = {(turn.sample.id, turn.mode): turn for turn in chain.from_iterable(conversations)}
        best = _best_draws(list(turns.values()), spec, model, processor)
        processes.from_first(lambda: write_table(file, best))
    table = pd.read_parquet(file).set_index(["prompt", "mode"])["answer"]
    answers: dict[tuple[str, Mode], str] = dict(table.items())  # type: ignore[arg-type]
    return [[replace(t, answer=answers[t.sample.id, t.mode]) for t in turns] for turns in conversations]


def _best_draws(
    turns: Sequence[Turn],
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
) -> pd.DataFrame:
    """Columns prompt, mode, answer, reward; of equal rewards the first that was drawn."""
    grpo, reward = spec.grpo, Reward(spec.grpo.weights)
    by_id = {turn.sample.id: turn.sample for turn in turns}
    best: dict[tuple[str, Mode], tuple[float, str]] = {}
    prompts: list[Prompt] = [(turn.sample, turn.mode) for turn in turns for _ in range(DRAWS)]
    predictions = shared_predictions(
        model, processor, prompts, batch=grpo.watched_batch,
        max_new_tokens=dict.fromkeys(MODES, grpo.max_new_tokens), temperature=grpo.temperature,
        seed=spec.parameters.seed,
    )  # fmt: skip
    for each in predictions:
        sample = by_id[each.sample]
        total = reward(sample, parse_answer(each.text, len(sample.pictures)), each.mode).total
        key, answer = (each.sample, each.mode), each.text.removesuffix(processor.tokenizer.eos_token)
        if key not in best or total > best[key][0]:
            best[key] = total, answer
    rows: list[Any] = [(*key, answer, total) for key, (total, answer) in best.items()]
    return pd.DataFrame(rows, columns=["prompt", "mode", "answer", "reward"])


def prompts_of(spec: RunSpec[Any]) -> list[Sample]:
    """The samples that a seed's GRPO takes its prompts from."""
    return first_of_each_scene(samples.load(spec, "train", "grpo"))


def first_of_each_scene(train_samples: Sequence[Sample]) -> list[Sample]:
    """The sample that each scene was made for: the kinds of these are mixed as in the test set."""
    first: dict[str, Sample] = {}
    for sample in train_samples:
        first.setdefault(sample.scene, sample)
    return list(first.values())

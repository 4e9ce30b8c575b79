"""Which conversations does a supervised stage train on, and for how many steps?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from random import Random

from ..grounding.samples import MODES, Sample
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..study.variants import FORMS, PAPER, ancestors
from ..training.collator import Conversation, ConversationCollator, Turn
from ..training.compute_matching import compute_matched_steps
from ..training.conversations import batched_by_length, training_conversations
from ..training.grpo import prompt_order
from ..training.settings import SFTSettings


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
    return settings, _fresh(train_samples, spec, spec.kind, settings)


def _fresh(
    train_samples: Sequence[Sample], spec: RunSpec[TrainParameters], mode: str, settings: SFTSettings
) -> list[Conversation]:
    """The conversations of a stage, behind those that the stages before it have trained on."""
    seen = sum(spec.sft[before].steps * spec.sft[before].conversations for before in ancestors(mode))
    return training_conversations(train_samples, settings, spec.parameters.seed, seen=seen)


def _control(
    spec: RunSpec[TrainParameters],
    train_samples: Sequence[Sample],
    prompts: Sequence[Sample],
    collate: ConversationCollator,
) -> tuple[SFTSettings, list[Conversation]]:
    settings, grpo, seed = spec.profile.cot_sft, spec.grpo, spec.parameters.seed
    chosen = [prompts[i] for i in prompt_order(len(prompts), grpo.steps * grpo.prompts, seed)]
    if spec.kind == "sft_more":
        like_before = _fresh(train_samples, spec, spec.kind, settings)
        forms = [FORMS[variant] for variant in PAPER]
        settings = replace(settings, steps=compute_matched_steps(like_before, chosen, settings, grpo, forms, collate))
        return settings, _fresh(train_samples, spec, spec.kind, settings)
    if spec.kind == "sft_draws":
        return _once([[Turn(s, mode)] for s, mode in zip(chosen, cycle(MODES), strict=False)], settings, seed)
    before = _fresh(train_samples, spec, "cot_sft", spec.sft["cot_sft"])
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

"""Compute matching: what does a training of GRPO take in FLOPs, and how many steps of SFT take as many?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..grounding.samples import MODES, Mode, Sample
from .collator import IGNORED, Conversation, ConversationCollator, Turn
from .settings import BACKWARD, FORWARD, GRPOForm, GRPOSettings, SFTSettings

SAMPLE_SIZE = 640
"""Conversations, or prompts, whose mean length is taken."""

_BATCH = 64


def compute_matched_steps(
    conversations: Sequence[Conversation],
    prompts: Sequence[Sample],
    sft: SFTSettings,
    grpo: GRPOSettings,
    forms: Sequence[GRPOForm],
    collate: ConversationCollator,
) -> int:
    """The steps of SFT, rounded up, that take the FLOPs of the most expensive of these forms of GRPO.

    A prompt is read once for all of its completions (`prefix_sharing`), and counts once. Completions are assumed to be
    as long as the true answers that SFT teaches, and every group to have a variance; what the runs then really cost is
    in their results. Estimated before any of them starts.

    Args:
        conversations: of the SFT stage; the mean length of the first SAMPLE_SIZE counts.
        prompts: samples of the GRPO stage; those without a chain of thought do not count for CoT.
        sft, grpo: the settings of the two stages.
        forms: of GRPO.
        collate: makes batches, of which the tokens are counted.
    """
    of_mode = {mode: _mean_tokens_of_mode(prompts[:SAMPLE_SIZE], mode, collate) for mode in MODES}

    def tokens(form: GRPOForm) -> float:
        """Of a step."""
        per_mode = grpo.rollouts / len(form.modes)
        return grpo.prompts * sum(of_mode[mode][0] + per_mode * of_mode[mode][1] for mode in form.modes)

    batches = math.ceil(grpo.steps / grpo.iterations)
    sft_step = sft.conversations * _mean_tokens(conversations[:SAMPLE_SIZE], collate)[2] * sft.flops_per_token
    return math.ceil(batches * max(map(tokens, forms)) * grpo.flops_per_token / sft_step)


def grpo_flops(steps: Sequence[Mapping[str, Any]], grpo: GRPOSettings, form: GRPOForm) -> tuple[float, float]:
    """FLOPs per parameter that a training of GRPO has taken by its log: as spent, and as if nothing was saved.

    Spent is a prompt once for its completions of a mode, and no forward or backward pass of the groups without variance
    (`prefix_sharing`); the other count is that of TRL's trainer, which repeats the prompt for every completion.
    """
    spent = unshared = before = 0.0
    for entry in (entry for entry in steps if "tokens" in entry):
        tokens, before = entry["tokens"] - before, entry["tokens"]
        completions = entry["length_mean"] * grpo.prompts * grpo.rollouts
        prompts = (tokens - completions) / form.completions_of_prompt(grpo.rollouts)
        varied = 1.0 if grpo.beta else 1 - entry.get("zero_variance_share", 0.0)
        forward_only = grpo.flops_per_token - grpo.iterations * (FORWARD + BACKWARD)
        spent += (prompts + completions) * (forward_only + varied * grpo.iterations * (FORWARD + BACKWARD))
        unshared += tokens * grpo.flops_per_token
    return spent, unshared


def _mean_tokens_of_mode(samples: Sequence[Sample], mode: Mode, collate: ConversationCollator) -> tuple[float, float]:
    """Mean tokens of a prompt and of its answer; nothing where no sample has a chain of thought."""
    turns = [[Turn(s, mode)] for s in samples if mode == "direct" or s.chain]
    return _mean_tokens(turns, collate)[:2] if turns else (0.0, 0.0)


def _mean_tokens(conversations: Sequence[Conversation], collate: ConversationCollator) -> tuple[float, float, float]:
    """Mean tokens of a conversation, with its image tokens and without padding: of questions, of answers, of both."""
    answers = whole = 0
    for start in range(0, len(conversations), _BATCH):
        batch = collate(conversations[start : start + _BATCH])
        answers += int((batch["labels"] != IGNORED).sum())
        whole += int(batch["attention_mask"].sum())
    n = len(conversations)
    return (whole - answers) / n, answers / n, whole / n

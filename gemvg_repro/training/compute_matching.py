"""Compute matching: how many steps of SFT take the FLOPs of GRPO? Estimated before either of them starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..grounding.samples import MODES, Sample
from .collator import Conversation, ConversationCollator, Turn
from .settings import GRPOSettings, SFTSettings

SAMPLE_SIZE = 640
"""Conversations, or prompts, whose mean length is taken."""

_BATCH = 64


def compute_matched_steps(
    conversations: Sequence[Conversation],
    prompts: Sequence[Sample],
    sft: SFTSettings,
    grpo: GRPOSettings,
    collate: ConversationCollator,
) -> int:
    """The steps of SFT, rounded up, that take the FLOPs of the most expensive variant of GRPO.

    That is the one whose prompts and completions have the most tokens. Completions are assumed to be as long as the
    true answers that SFT teaches; what the runs then really cost is in their results.

    Args:
        conversations: of the SFT stage; the mean length of the first SAMPLE_SIZE counts.
        prompts: samples of the GRPO stage; those without a chain of thought do not count for CoT.
        sft, grpo: the settings of the two stages.
        collate: makes batches, of which the tokens are counted.
    """
    by_mode = [[[Turn(s, mode)] for s in prompts[:SAMPLE_SIZE] if mode == "direct" or s.chain] for mode in MODES]
    longest = max(_mean_tokens(of_mode, collate) for of_mode in by_mode if of_mode)
    completions = math.ceil(grpo.steps / grpo.iterations) * grpo.prompts * grpo.rollouts
    sft_step = sft.conversations * _mean_tokens(conversations[:SAMPLE_SIZE], collate) * sft.flops_per_token
    return math.ceil(completions * longest * grpo.flops_per_token / sft_step)


def _mean_tokens(conversations: Sequence[Conversation], collate: ConversationCollator) -> float:
    """Mean tokens of a conversation, with its image tokens and without padding."""
    batches = [conversations[i : i + _BATCH] for i in range(0, len(conversations), _BATCH)]
    return sum(int(collate(batch)["attention_mask"].sum()) for batch in batches) / len(conversations)

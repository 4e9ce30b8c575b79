"""How long must SFT go on to cost as much arithmetic as GRPO? Counted before either of them begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..grounding.samples import MODES, Sample
from .collator import Conversation, ConversationCollator, Turn
from .settings import GRPOSettings, SFTSettings

FORWARD, BACKWARD = 2, 4
"""FLOPs a parameter and token (arXiv 2001.08361, section 2.1)."""

MEASURED = 640
"""Conversations of which a mean is taken."""

_BATCH = 64


def flops_a_token(settings: SFTSettings | GRPOSettings) -> int:
    """FLOPs a parameter for each token of a conversation, or of a prompt with one answer.

    Generation counts as a forward pass; so do the start that a KL term compares with, and the policy that answered,
    where several iterations are taken on the same answers. A prompt counts with each of its answers, although `sharing`
    reads it once for all of them: what SFT is given for it is rather too much than too little.
    """
    if isinstance(settings, SFTSettings):
        return FORWARD + BACKWARD
    before = 1 + (settings.beta > 0) + (settings.iterations > 1)
    return before * FORWARD + settings.iterations * (FORWARD + BACKWARD)


def steps_of_equal_cost(
    continued: Sequence[Conversation],
    prompts: Sequence[Sample],
    supervised: SFTSettings,
    reinforced: GRPOSettings,
    collate: ConversationCollator,
) -> int:
    """The steps of SFT, rounded up, that take the FLOPs of the dearest variant of GRPO.

    That is the one whose prompts and answers have the most tokens. Answers are taken to be as long as true ones, which
    is what SFT teaches; what the runs then really cost stands in their results.

    Args:
        continued: conversations as SFT will have them; the mean length of the first MEASURED counts.
        prompts: samples as GRPO will have them; those without a chain of thought do not count for CoT.
        supervised, reinforced: the two stages.
        collate: makes batches, of which the tokens are counted.
    """
    asked = [[[Turn(s, mode)] for s in prompts[:MEASURED] if mode == "direct" or s.chain] for mode in MODES]
    longest = max(_mean_tokens(each, collate) for each in asked if each)
    answers = math.ceil(reinforced.steps / reinforced.iterations) * reinforced.prompts * reinforced.rollouts
    a_step = supervised.conversations * _mean_tokens(continued[:MEASURED], collate) * flops_a_token(supervised)
    return math.ceil(answers * longest * flops_a_token(reinforced) / a_step)


def _mean_tokens(conversations: Sequence[Conversation], collate: ConversationCollator) -> float:
    """Of a conversation, its pictures included and padding left out."""
    batches = [conversations[i : i + _BATCH] for i in range(0, len(conversations), _BATCH)]
    return sum(int(collate(batch)["attention_mask"].sum()) for batch in batches) / len(conversations)

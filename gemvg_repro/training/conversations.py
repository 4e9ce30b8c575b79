"""Which conversations does supervised finetuning train on, and in which order?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from random import Random

from ..grounding.samples import Mode, Sample
from .collator import Conversation, Turn
from .settings import SFTSettings


def training_conversations(
    samples: Sequence[Sample], settings: SFTSettings, seed: int, shuffled: bool = True, seen: int = 0
) -> list[Conversation]:
    """The conversations of a stage, in training order: as many as its steps take, after skipping the first `seen`.

    Consecutive samples of one scene make a conversation, up to `turns` of them, in one mode drawn for the conversation;
    a sample without a chain of thought is a direct turn. Scenes are passed through in epochs. If `shuffled`, each epoch
    has an order of its own, and batches gather conversations of similar length out of WINDOW batches, to save padding.
    """
    rng = Random(f"conversations/{seed}")
    scenes = [list(group)[: settings.turns] for _, group in groupby(samples, key=lambda sample: sample.scene)]
    end = seen + settings.steps * settings.conversations
    order: list[int] = []
    while len(order) < end:
        order += rng.sample(range(len(scenes)), len(scenes)) if shuffled else range(len(scenes))
    conversations: list[Conversation] = []
    for number in order[seen:end]:
        mode: Mode = "cot" if rng.random() < settings.cot_share else "direct"
        conversations.append([Turn(s, mode if s.chain else "direct") for s in scenes[number]])
    return batched_by_length(conversations, settings.conversations, rng) if shuffled else conversations


WINDOW = 10
"""Batches among which conversations are sorted by length."""


def batched_by_length(conversations: list[Conversation], batch: int, rng: Random) -> list[Conversation]:
    """The same conversations, sorted by length into batches within each window, whose batches are then shuffled."""

    def length(turns: Conversation) -> tuple[int, int]:
        return len(turns[0].sample.pictures), sum(len(t.sample.query) + 40 * len(t.sample.targets) for t in turns)

    ordered: list[Conversation] = []
    for start in range(0, len(conversations), batch * WINDOW):
        window = sorted(conversations[start : start + batch * WINDOW], key=length)
        batches = [window[i : i + batch] for i in range(0, len(window), batch)]
        ordered += [turns for one in rng.sample(batches, len(batches)) for turns in one]
    return ordered

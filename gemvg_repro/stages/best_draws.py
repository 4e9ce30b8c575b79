"""Which of its own answers does `sft_draws` learn? Of several to a prompt, the best by reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import pandas as pd
from transformers import PreTrainedModel

from ..grounding.parsing import parse_answer
from ..grounding.rewards import Reward
from ..grounding.samples import MODES, Mode
from ..models.generation import Prompt
from ..models.processor import ImageOnlyProcessor
from ..runs.layout import DRAWN_ANSWERS
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..training import processes
from ..training.collator import Conversation, Turn
from .shared_generation import shared_predictions
from .validation_rewards import write_table

DRAWS = 8
"""Sampled answers to a prompt."""


def with_best_draws(
    conversations: Sequence[Conversation],
    spec: RunSpec[TrainParameters],
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
) -> list[Conversation]:
    """The same prompts with the best by reward of DRAWS answers that the model samples, kept in the run's directory: it
    is the start that draws them, also for a training that resumes."""
    file = spec.folder / DRAWN_ANSWERS
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

"""Which rewards do sampled answers to fixed validation prompts get, before and after GRPO?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from transformers import Qwen2VLForConditionalGeneration

from ..files.atomic import write_bytes
from ..grounding.parsing import parse_answer
from ..grounding.rewards import Reward
from ..grounding.samples import Mode, Sample
from ..models.generation import generate
from ..models.processor import ImageOnlyProcessor
from ..training.settings import GRPOSettings

_SEED = 0


def sampled_rewards(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    modes: Sequence[Mode],
    settings: GRPOSettings,
    when: str,
) -> pd.DataFrame:
    """One row a sample, mode and term of the reward of an answer, and `total`, their weighted sum.

    Answers are sampled at the temperature of the training, whose aim is the reward of sampled answers; in each mode
    from one seed: with common random numbers before and after, and in every variant that has the mode. What GRPO does
    to greedy answers is what the evaluations show.
    """
    reward = Reward(settings.weights)
    by_id = {sample.id: sample for sample in samples}
    rows = []
    for mode in modes:
        torch.manual_seed(_SEED)
        batches = generate(
            model, processor, [(sample, mode) for sample in samples], batch=settings.watched_batch,
            max_new_tokens=settings.watched_new_tokens, temperature=settings.temperature,
        )  # fmt: skip
        for batch in batches:
            for prediction in batch:
                sample = by_id[prediction.sample]
                score = reward(sample, parse_answer(prediction.text, len(sample.pictures)), mode)
                for term, value in {**score.terms, "total": score.total}.items():
                    rows.append((sample.id, mode, when, term, value))
    return pd.DataFrame(rows, columns=["prompt", "mode", "when", "term", "value"])


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a parquet file as a whole or not at all."""
    content = io.BytesIO()
    table.to_parquet(content)
    write_bytes(path, content.getvalue())

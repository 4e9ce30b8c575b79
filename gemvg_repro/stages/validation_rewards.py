"""Which rewards do sampled answers to fixed validation prompts get, before and after GRPO?"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel

from ..files.atomic import write_bytes
from ..grounding.parsing import parse_answer
from ..grounding.rewards import AnswerReward, Reward
from ..grounding.samples import Mode, Sample
from ..models.processor import ImageOnlyProcessor
from ..training.settings import GRPOSettings
from .shared_generation import shared_predictions

BEST_OF, BEST_OF_SAMPLES = 8, 100
"""So many answers to each of the first samples, for the best of them."""


def sampled_rewards(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    modes: Sequence[Mode],
    settings: GRPOSettings,
    stop_requested: Callable[[], bool],
    when: str,
) -> pd.DataFrame:
    """One row a sample, mode and term of the reward of an answer, and `total`, their weighted sum; of the first samples
    also F1 of the best by reward of several answers: what the model could learn from its own.

    Answers are sampled at the temperature of the training, whose aim is the reward of sampled answers, in each mode
    with common random numbers before and after, and in every variant that has the mode. What GRPO does to greedy
    answers is what the evaluations show. Several processes share the answers out; each returns all rows.

    Raises:
        Interrupted: `stop_requested`, which is asked after each batch, of any process.
    """
    reward = Reward(settings.weights)
    by_id = {sample.id: sample for sample in samples}

    def drawn(mode: Mode, count: int, of: Sequence[Sample]) -> Iterator[tuple[str, AnswerReward]]:
        """The id of a sample and an answer's reward, `count` of each."""
        predictions = shared_predictions(
            model, processor, [(sample, mode) for sample in of for _ in range(count)], batch=settings.watched_batch,
            max_new_tokens=settings.watched_new_tokens, temperature=settings.temperature,
            stop_requested=stop_requested,
        )  # fmt: skip
        for each in predictions:
            sample = by_id[each.sample]
            yield sample.id, reward(sample, parse_answer(each.text, len(sample.pictures)), mode)

    rows = []
    for mode in modes:
        for name, score in drawn(mode, 1, samples):
            rows += [(name, mode, when, term, v) for term, v in {**score.terms, "total": score.total}.items()]
        best: dict[str, AnswerReward] = {}
        for name, score in drawn(mode, BEST_OF, samples[:BEST_OF_SAMPLES]):
            best[name] = max(best.get(name, score), score, key=lambda each: each.total)
        rows += [(name, mode, when, f"f1, best of {BEST_OF}", score.terms["f1"]) for name, score in best.items()]
    return pd.DataFrame(rows, columns=["prompt", "mode", "when", "term", "value"])


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a parquet file as a whole or not at all."""
    content = io.BytesIO()
    table.to_parquet(content)
    write_bytes(path, content.getvalue())

"""Rewards of sampled answers: one of each sample, and the best of several of the first ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.predictions import Prediction
from gemvg_repro.grounding.rewards import TERMS
from gemvg_repro.models.generation import Prompt
from gemvg_repro.stages import shared_generation, validation_rewards
from gemvg_repro.stages.validation_rewards import BEST_OF, sampled_rewards
from gemvg_repro.training.checkpointing import never

from ..tiny_model import model_and_processor, samples
from ..training.made import GRPO

GROUNDING = [s for s in samples("validation") if s.targets]


def test_the_best_of_several_answers_is_measured_beside_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(model: Any, processor: Any, prompts: Sequence[Prompt], **_: Any) -> Iterator[list[Prediction]]:
        """A sample's fourth answer is the true one, the others are wrong."""
        counts: dict[str, int] = {}
        for sample, mode in prompts:
            counts[sample.id] = counts.get(sample.id, 0) + 1
            text = format_answer(sample.targets) if counts[sample.id] == 4 else "none"
            yield [Prediction(sample.id, mode, text, 1)]

    monkeypatch.setattr(shared_generation, "generate", answers)
    monkeypatch.setattr(validation_rewards, "BEST_OF_SAMPLES", 2)
    table = sampled_rewards(*model_and_processor(), GROUNDING, ("direct",), GRPO, never, "before")
    by_term = table.groupby("term")["value"].agg(["size", "mean"])
    assert set(by_term.index) == {*TERMS, "total", f"f1, best of {BEST_OF}"}
    assert list(by_term.loc["f1"]) == [len(GROUNDING), 0.0]
    assert list(by_term.loc[f"f1, best of {BEST_OF}"]) == [2, 1.0]


def test_the_same_model_answers_the_same() -> None:
    three = GROUNDING[:3]
    tables = [sampled_rewards(*model_and_processor(), three, ("cot",), GRPO, never, "before") for _ in range(2)]
    assert tables[0].equals(tables[1]) and len(tables[0]) == 3 * (len(TERMS) + 2)

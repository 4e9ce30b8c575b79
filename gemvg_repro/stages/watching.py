"""How good are greedy answers to the same validation samples, while a training goes on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from ..benchmarks.generalised import score
from ..grounding.parsing import parse_answer
from ..grounding.rewards import Reward
from ..grounding.samples import MODES, Mode, Sample
from ..models.generation import Prompt
from ..models.processor import ImageOnlyProcessor
from ..study.spec import RunSpec
from ..training.settings import GRPOSettings, SFTSettings
from .shared_generation import shared_predictions


class GreedyWatch:
    """Measures greedy answers in each mode every so many steps, and after the last: see `measures`.

    A training of fewer steps than that is not watched. Nothing is drawn, and the weights stay as they are: what a
    training learns does not depend on how often it is watched.
    """

    def __init__(
        self,
        spec: RunSpec[Any],
        model: PreTrainedModel,
        processor: ImageOnlyProcessor,
        validation: Sequence[Sample],
        settings: SFTSettings | GRPOSettings,
    ) -> None:
        watching = spec.profile.watching
        stage = spec.variant.stage if spec.variant else "sft"
        self._every, self._steps = watching.every[stage], settings.steps
        self._samples = validation[: watching.samples]
        self._spec, self._model, self._processor = spec, model, processor

    def __call__(self, step: int) -> dict[str, float]:
        """The measures after a step; nothing where none is due."""
        due = step % self._every == 0 or step == self._steps
        if not due or self._steps < self._every or not self._samples:
            return {}
        profile = self._spec.profile
        return {
            f"greedy/{measure}/{mode}": value
            for mode in MODES
            for measure, value in measures(
                self._model, self._processor, self._samples, mode, batch=profile.evaluate.batch,
                max_new_tokens=profile.evaluate.max_new_tokens[mode], reward=Reward(profile.grpo.weights),
            ).items()
        }  # fmt: skip


def measures(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    mode: Mode,
    *,
    batch: int,
    max_new_tokens: int,
    reward: Reward,
) -> dict[str, float]:
    """Of greedy answers in one mode: `f1` (F1@0.5, the mean of the kinds) and the mean `reward`; f1 only if defined."""
    prompts: list[Prompt] = [(s, mode) for s in samples]
    answers = shared_predictions(model, processor, prompts, batch=batch, max_new_tokens={mode: max_new_tokens})
    texts = {each.sample: each.text for each in answers}
    scores = score.summary(score.score(samples, [texts[s.id] for s in samples], mode))
    rewards = [reward(s, parse_answer(texts[s.id], len(s.pictures)), mode).total for s in samples]
    f1 = {"f1": scores["f1"]} if "f1" in scores else {}
    return {**f1, "reward": sum(rewards) / len(rewards)}

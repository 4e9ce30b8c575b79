"""In which forms does stage 3 come? The paper's three variants, and controls that tell why one of them gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler

from ..grounding.samples import Mode

Variant = Literal["cot", "direct", "hybrid", "joint", "shuffled", "token"]


@dataclass(frozen=True)
class Form:
    """How a variant asks and rewards.

    Attributes:
        modes: in which each sample is asked; its rollouts are split between them.
        joint: whether all answers to a sample are one group, so that its modes compete, or those of each mode.
        shuffled: whether every answer gets the reward of an answer to another sample.
        loss_type: TRL's name of the loss, in place of the profile's.
    """

    modes: tuple[Mode, ...]
    joint: bool = False
    shuffled: bool = False
    loss_type: str | None = None

    def group(self, rollouts: int) -> int:
        """How many answers are normalised together, of so many to a sample."""
        return rollouts if self.joint else rollouts // len(self.modes)


FORMS: dict[Variant, Form] = {
    "cot": Form(("cot",)),
    "direct": Form(("direct",)),
    "hybrid": Form(("direct", "cot")),
    "joint": Form(("direct", "cot"), joint=True),
    "shuffled": Form(("direct", "cot"), shuffled=True),
    "token": Form(("direct", "cot"), loss_type="dapo"),
}
"""The last three are `hybrid` but for one thing: the group, the reward (which then must not help), or the loss, where
every token counts alike, and so a long answer more than a short one."""


class TakesForm:
    """For TRL's GRPOTrainer: groups over modes, and rewards of other samples, as `form` says."""

    form: Form
    num_generations: int

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        """TRL repeats a row as often as a group is large; the rows of a joint group share that number."""
        stock: Sampler[int] = super()._get_train_sampler(dataset)  # type: ignore[misc]
        if not (self.form.joint and isinstance(stock, RepeatSampler)):
            return stock
        rows = len(self.form.modes)
        shared: Sampler[int] = RepeatSampler(
            data_source=stock.data_source,
            mini_repeat_count=stock.mini_repeat_count // rows,
            batch_size=stock.batch_size * rows,
            repeat_count=stock.repeat_count,
            shuffle=stock.shuffle,
            seed=stock.seed,
        )
        return shared

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """The terms of the reward, (answers, terms), over all processes; shuffled: each answer gets those of the
        answer at its place among those to the sample before, in the same mode."""
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        answers = self.num_generations * len(self.form.modes)
        if not self.form.shuffled:
            return rewards
        if len(rewards) <= answers:
            raise ValueError(
                "rewards are shuffled between prompts, and a step has only one: `prompts` must be 2 or more"
            )
        return torch.roll(rewards, answers, dims=0)

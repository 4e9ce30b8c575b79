"""How does a variant change TRL's GRPO trainer: the groups that advantages are normalised in, and the rewards?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler

from .settings import GRPOForm


class TakesForm:
    """For TRL's GRPOTrainer: groups over modes, and rewards of other samples, as `form` says."""

    form: GRPOForm
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

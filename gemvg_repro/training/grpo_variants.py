"""Joint groups and shuffled rewards for TRL's GRPO trainer, as a variant's GRPOForm says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from trl.trainer.utils import RepeatSampler

from .settings import GRPOForm


class FormMixin:
    """Mixin for TRL's GRPOTrainer: `form` says over which completions groups extend, and whose rewards they get."""

    form: GRPOForm
    num_generations: int

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        """TRL repeats a row `num_generations` times; the rows of a joint group share that number."""
        stock: Sampler[int] = super()._get_train_sampler(dataset)  # type: ignore[misc]
        if not (self.form.joint and isinstance(stock, RepeatSampler)):
            return stock
        rows = len(self.form.modes)
        joint: Sampler[int] = RepeatSampler(
            data_source=stock.data_source,
            mini_repeat_count=stock.mini_repeat_count // rows,
            batch_size=stock.batch_size * rows,
            repeat_count=stock.repeat_count,
            shuffle=stock.shuffle,
            seed=stock.seed,
        )
        return joint

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """The reward's terms, (completions, terms), over all processes; if shuffled, each completion gets those of the
        completion at its place in the sample before, which has the same mode."""
        rewards: Tensor = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        rollouts = self.num_generations * len(self.form.modes)
        if not self.form.shuffled:
            return rewards
        if len(rewards) <= rollouts:
            raise ValueError(
                "rewards are shuffled between prompts, and a step has only one: `prompts` must be 2 or more"
            )
        return torch.roll(rewards, rollouts, dims=0)

"""Which constants does training have? All of them, with no defaults: a profile states each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from ..grounding.samples import Mode


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights move. `muon_lr` None means AdamW for every weight."""

    lr: float
    muon_lr: float | None
    momentum: float
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float
    warmup_steps: int
    schedule: Literal["cosine_with_min_lr", "constant_with_warmup"]
    final_lr_share: float


@dataclass(frozen=True)
class _Stage:
    """What stages share: how many optimiser steps they take."""

    steps: int

    def for_steps(self, steps: int) -> Self:
        """The same stage with so many steps; 0 leaves it as it is."""
        return replace(self, steps=steps) if steps else self


@dataclass(frozen=True)
class SFTSettings(_Stage):
    """One stage of supervised finetuning.

    `conversations` make a batch, of which `micro_batch` pass through the model at a time; each has up to
    `turns` questions about the same pictures. `cot_share` of the conversations are in CoT mode.
    """

    conversations: int
    micro_batch: int
    turns: int
    cot_share: float
    frozen_vision: bool
    bf16: bool
    gradient_checkpointing: bool
    save_every: int
    optimiser: OptimiserSettings


@dataclass(frozen=True)
class GRPOSettings(_Stage):
    """Stage 3. A step takes `prompts` prompts with `rollouts` answers each.

    `weights` of the reward's terms, by name; `beta` weighs the KL to the start. Every
    `watch_every` steps the divergence from the start is taken on `divergence_samples` of validation; before and
    after the training, the reward of drawn answers to `watched_samples` of them.
    """

    prompts: int
    rollouts: int
    micro_batch: int
    max_new_tokens: int
    temperature: float
    weights: dict[str, float]
    beta: float
    epsilon: float
    epsilon_high: float
    loss_type: str
    scale_rewards: str
    iterations: int
    frozen_vision: bool
    bf16: bool
    gradient_checkpointing: bool
    save_every: int
    watch_every: int
    watched_samples: int
    divergence_samples: int
    optimiser: OptimiserSettings


@dataclass(frozen=True)
class GRPOForm:
    """What a variant of GRPO does with a prompt's rollouts.

    Attributes:
        modes: in which each sample is prompted; its rollouts are split between them.
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

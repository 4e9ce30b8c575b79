"""Hyperparameters of SFT and GRPO. They have no defaults: a profile states each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from ..grounding.samples import Mode

FORWARD, BACKWARD = 2, 4
"""FLOPs per parameter and token (arXiv 2001.08361, section 2.1)."""


@dataclass(frozen=True)
class OptimiserSettings:
    """Hyperparameters of the optimiser and its schedule. `muon_lr` None means AdamW for every weight.

    After the warm-up the rate falls to `final_lr_share` of itself as a cosine, stays, or falls linearly to 0.
    """

    lr: float
    muon_lr: float | None
    momentum: float
    betas: tuple[float, float]
    weight_decay: float
    max_grad_norm: float
    warmup_steps: int
    schedule: Literal["cosine_with_min_lr", "constant_with_warmup", "linear"]
    final_lr_share: float


@dataclass(frozen=True)
class LoRASettings:
    """LoRA: the `rank` of its matrices, the scale `alpha` / `rank` of their product, and the names of the language
    model's layers that get them."""

    rank: int
    alpha: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class _Stage:
    """What all stages have: the number of optimiser steps, and `lora` in place of training the weights themselves."""

    steps: int
    lora: LoRASettings | None

    def for_steps(self, steps: int) -> Self:
        """The same stage with another number of steps; 0 keeps its own."""
        return replace(self, steps=steps) if steps else self


@dataclass(frozen=True)
class SFTSettings(_Stage):
    """One stage of supervised finetuning.

    A batch has `conversations`, of which `micro_batch` pass through the model at a time; each has up to `turns`
    questions about the same images. A share of `cot_share` of the conversations is in CoT mode.
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

    @property
    def flops_per_token(self) -> int:
        """FLOPs per parameter for each token of a conversation."""
        return FORWARD + BACKWARD


@dataclass(frozen=True)
class GRPOSettings(_Stage):
    """GRPO (stage 3). A step has `prompts` prompts with `rollouts` completions each.

    `weights` are of the reward's terms, by name; `beta` is that of the KL penalty. Every `watch_every` steps the KL
    from the start is measured on `divergence_samples` validation samples; before and after training, the reward of
    sampled completions on `watched_samples` of them, `watched_batch` at a time and of at most `watched_new_tokens` in
    each mode.
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
    watched_batch: int
    watched_new_tokens: dict[Mode, int]
    divergence_samples: int
    optimiser: OptimiserSettings

    @property
    def flops_per_token(self) -> int:
        """FLOPs per parameter for each token of a prompt or a completion.

        Generation counts as a forward pass; so do the reference model of a KL term and the old policy's
        log-probabilities, where several iterations are taken on the same completions.
        """
        forward_only = 1 + (self.beta > 0) + (self.iterations > 1)
        return forward_only * FORWARD + self.iterations * (FORWARD + BACKWARD)


@dataclass(frozen=True)
class GRPOForm:
    """What a variant of GRPO does with a prompt's rollouts.

    Attributes:
        modes: the prompting modes of each sample, between which its rollouts are split.
        joint: whether advantages are normalised over all completions of a sample, so that its modes compete, or within
            each mode.
        shuffled: whether every completion gets the reward of a completion of another sample.
        whole: whether each mode has the group of a pure form, over fewer samples: as many completions in all.
    """

    modes: tuple[Mode, ...]
    joint: bool = False
    shuffled: bool = False
    whole: bool = False

    def completions_of_prompt(self, rollouts: int) -> int:
        """The completions of a sample in each mode, when a pure form has so many rollouts."""
        return rollouts if self.whole else rollouts // len(self.modes)

    def group(self, rollouts: int) -> int:
        """The size of a group, over which advantages are normalised, likewise."""
        return rollouts if self.joint else self.completions_of_prompt(rollouts)

    def samples(self, prompts: int) -> int:
        """The samples of a step, when a pure form has so many prompts."""
        return prompts // len(self.modes) if self.whole else prompts

"""Which constants does training have? All of them, with no defaults: a profile states each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
class SFTSettings:
    """One stage of supervised finetuning.

    `conversations` make a batch, of which `micro_batch` pass through the model at a time; each has up to
    `turns` questions about the same pictures. `cot_share` of the conversations are in CoT mode.
    """

    steps: int
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
class GRPOSettings:
    """Stage 3. A step takes `prompts` prompts with `rollouts` answers each.

    `weights` of the reward's terms, in the order of grounding.rewards; `beta` weighs the KL to the start.
    """

    steps: int
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
    watched_prompts: int
    optimiser: OptimiserSettings

"""Settings of trainings of a few steps."""

from __future__ import annotations

from gemvg_repro.training.settings import GRPOSettings, OptimiserSettings, SFTSettings

OPTIMISER = OptimiserSettings(
    lr=1e-3, muon_lr=0.01, momentum=0.9, betas=(0.9, 0.98), weight_decay=0.01, max_grad_norm=1.0,
    warmup_steps=1, schedule="cosine_with_min_lr", final_lr_share=0.1,
)  # fmt: skip
SFT = SFTSettings(
    steps=6, lora=None, conversations=4, micro_batch=2, turns=2, cot_share=0.5, frozen_vision=False, bf16=False,
    gradient_checkpointing=False, save_every=2, optimiser=OPTIMISER,
)  # fmt: skip
GRPO = GRPOSettings(
    steps=4, lora=None, prompts=2, rollouts=4, micro_batch=4, max_new_tokens=6, temperature=1.0,
    weights={"format": 0.5, "picture": 0.5, "localisation": 1.0, "count": 0.5, "f1": 0.0}, beta=0.0, epsilon=0.2,
    epsilon_high=0.2, loss_type="grpo", scale_rewards="group", iterations=1, frozen_vision=False, bf16=False,
    gradient_checkpointing=False, save_every=2, watch_every=2, watched_samples=4, divergence_samples=2,
    watched_batch=4, watched_new_tokens={"direct": 6, "cot": 6}, optimiser=OPTIMISER,
)  # fmt: skip
